#include "export/export.h"

#define FORMAT(name, summary) extern const struct format format_##name;
#include "export/formats.def"
#undef FORMAT

const struct format_row formats[] = {
#define FORMAT(name, summary) {#name, summary, &format_##name},
#include "export/formats.def"
#undef FORMAT
};
const size_t formats_n = ARRAY_LEN(formats);

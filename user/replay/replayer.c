#include "replay/replayer.h"

#define REPLAYER(name, id) extern const struct replayer replayer_##name;
#include "replay/replayers.def"
#undef REPLAYER

static const struct replayer *const replayers[] = {
#define REPLAYER(name, id) &replayer_##name,
#include "replay/replayers.def"
#undef REPLAYER
};

const struct replayer *replayer_for(enum proto_id id)
{
	for (size_t i = 0; i < ARRAY_LEN(replayers); i++)
		if (replayers[i]->proto == id)
			return replayers[i];
	return NULL;
}

#include "replay/replayer.h"

#include <dlfcn.h>
#include <errno.h>

#include "proto/pairs.h"

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

const struct replayer *replayer_at(size_t i)
{
	return i < ARRAY_LEN(replayers) ? replayers[i] : NULL;
}

int library_load(const struct replayer *r, const struct library_symbol *symbols, size_t n, void *functions,
	struct err *e)
{
	void *lib = dlopen(r->library, RTLD_NOW | RTLD_LOCAL);

	if (!lib) {
		err_set(e, -ENOPKG, "cannot load %s: %s", r->library, dlerror());
		err_hint(e, "it is Debian's package %s: apt-get install %s", r->package, r->package);
		return -ENOPKG;
	}
	for (size_t i = 0; i < n; i++) {
		void *fn = dlsym(lib, symbols[i].name);

		if (!fn)
			return err_set(e, -ENOPKG, "%s has no function %s", r->library, symbols[i].name);
		memcpy((char *)functions + symbols[i].offset, &fn, sizeof(fn));
	}
	return 0;
}

bool library_there(const struct replayer *r)
{
	return dlopen(r->library, RTLD_LAZY | RTLD_LOCAL) != NULL;
}

int replay_pairs(struct span envelope, bool (*drop)(struct span header), struct span mark, struct buf *ret,
	void (*dropped)(void *ctx, struct span name), void *ctx)
{
	struct pair p;

	pairs_begin(ret);
	while (pairs_next(&envelope, &p)) {
		if (!p.header || !(span_is(p.name, REPLAY_MARK) || drop(p.name)))
			pairs_add(ret, &p);
		else if (dropped)
			dropped(ctx, p.name);
	}
	if (envelope.n)
		return -EBADMSG;
	if (mark.n)
		pairs_header(ret, SPAN_LIT(REPLAY_MARK), mark);
	return buf_ok(ret) ? 0 : -ENOMEM;
}

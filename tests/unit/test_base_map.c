/* The hash map against a plain table of the same keys, over many puts and deletes. */
#include "test.h"

#include "base/map.h"

#define KEYS 300

static uint32_t dice(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void agrees_with_a_table(void)
{
	/* Keys that are close, far apart, zero and the largest. */
	uint64_t want[KEYS] = {0};
	bool there[KEYS] = {false};
	struct map m = {0};
	uint32_t rnd = 42;
	size_t n = 0;

	for (int step = 0; step < 200000; step++) {
		size_t i = dice(&rnd) % KEYS;
		uint64_t key = i % 3 ? i : UINT64_MAX - i * 0x100000001ULL, *v;

		switch (dice(&rnd) % 3) {
		case 0:
			want[i] = dice(&rnd);
			n += !there[i];
			there[i] = true;
			CHECK_EQ(map_put(&m, key, want[i]), 0);
			break;
		case 1:
			CHECK_EQ(map_del(&m, key), there[i]);
			n -= there[i];
			there[i] = false;
			break;
		default:
			v = map_get(&m, key);
			CHECK_EQ(v != NULL, there[i]);
			CHECK(!v || *v == want[i]);
		}
		CHECK_EQ(m.n, n);
	}
	map_for_each (&m, s)
		n--;
	CHECK_EQ(n, 0);
	map_free(&m);
	CHECK(!map_get(&m, 1));
	CHECK(!map_del(&m, 1));
}

static void keeps_pointers(void)
{
	struct map m = {0};
	int x, y;

	CHECK(!map_ptr(&m, 5));
	CHECK_EQ(map_put_ptr(&m, 5, &x), 0);
	CHECK(map_ptr(&m, 5) == &x);
	CHECK_EQ(map_put_ptr(&m, 5, &y), 0);
	CHECK(map_ptr(&m, 5) == &y);
	CHECK_EQ(m.n, 1);
	map_free(&m);
}

static void stays_small(void)
{
	struct map m = {0};

	for (uint64_t k = 0; k < 100000; k++) {
		map_put(&m, k, k);
		if (k >= 10)
			CHECK(map_del(&m, k - 10));
	}
	CHECK_EQ(m.n, 10);
	CHECK(m.cap <= 32); /* deleted keys leave nothing behind */
	map_free(&m);
}

int main(void)
{
	RUN(agrees_with_a_table);
	RUN(keeps_pointers);
	RUN(stays_small);
	return test_end();
}

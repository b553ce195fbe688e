/* SPDX-License-Identifier: MIT */
/* Bytes from anywhere: nothing crashes, nothing is read beyond the end, and what decodes encodes to the same bytes. */
#include <stdio.h>

#include "random.h"
#include "wire_any.h"
#include "wire_samples.h"

#define ROUNDS 300000
#define SIZE_MAX_ 400            /* no sample is larger, so mutations stay dense */

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
	return random_below(&seed, below);
}

static uint8_t draw_byte(void)
{
	static const uint8_t telling[] = { 0, 1, 2, 4, 7, 8, 0x10, 0x3f, 0x40, 0x7f, 0x80, 0xff, '/', '.', '=', 'a' };

	return draw(2) ? telling[draw(sizeof(telling))] : (uint8_t)draw(256);
}

static size_t mutate(uint8_t *p, size_t len)
{
	size_t at = len ? draw((uint32_t)len) : 0, n = 1 + draw(8);

	switch (draw(6)) {
	case 0:          /* a bit */
		if (len)
			p[at] ^= (uint8_t)(1u << draw(8));
		break;
	case 1:          /* a byte */
		if (len)
			p[at] = draw_byte();
		break;
	case 2:          /* cut */
		len = at;
		break;
	case 3:          /* some more behind */
		for (; n && len < SIZE_MAX_; n--)
			p[len++] = draw_byte();
		break;
	case 4:          /* some out of the middle */
		n = n < len - at ? n : len - at;
		memmove(p + at, p + at + n, len - at - n);
		len -= n;
		break;
	case 5:          /* some into it */
		if (len + n > SIZE_MAX_)
			break;
		memmove(p + at + n, p + at, len - at);
		len += n;
		while (n--)
			p[at + n] = draw_byte();
		break;
	}
	return len;
}

static void mutations(void **state)
{
	static uint8_t payload[SIZE_MAX_ + 16];
	size_t good = 0, good_of[SAMPLES] = { 0 };

	(void)state;
	seed = 0x5eed;
	for (int round = 0; round < ROUNDS; round++) {
		size_t i = draw(SAMPLES), len = any_bytes(payload, sizeof(payload), samples[i].payload);
		/* Sometimes the type of another: then all bytes mean something else. */
		uint16_t type = draw(8) ? samples[i].type : samples[draw(SAMPLES)].type;

		for (uint32_t n = 1 + draw(4); n; n--)
			len = mutate(payload, len);
		if (!any_check(type, payload, len)) {
			good++;
			good_of[i]++;
		}
	}
	/* Worth something only if both happen, to each type. */
	assert_true(good > ROUNDS / 50 && good < ROUNDS - ROUNDS / 50);
	for (size_t i = 0; i < SAMPLES; i++)
		assert_true(good_of[i] > 0);
}

static void noise(void **state)
{
	static uint8_t payload[SIZE_MAX_];

	(void)state;
	seed = 0x90153;
	for (int round = 0; round < ROUNDS; round++) {
		size_t len = draw(64);

		for (size_t i = 0; i < len; i++)
			payload[i] = draw_byte();
		any_check(samples[draw(SAMPLES)].type, payload, len);
	}
}

static void streams_of_noise(void **state)
{
	static struct any any;

	(void)state;
	seed = 0x57e4;
	for (int round = 0; round < ROUNDS; round++) {
		size_t len = draw(40), at = 0;
		uint8_t *buf = malloc(len ? len : 1);
		struct wire_frame frame;
		int n = 1;

		assert_non_null(buf);
		for (size_t i = 0; i < len; i++)
			buf[i] = draw(3) ? 0 : draw_byte();
		for (; (n = wire_split(buf + at, len - at, &frame)) > 0; at += (size_t)n) {
			assert_int_equal(n, WIRE_HEADER + frame.length);
			assert_true((size_t)n <= len - at);
			any_decode(&frame, &any);
		}
		free(buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mutations),
		cmocka_unit_test(noise),
		cmocka_unit_test(streams_of_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

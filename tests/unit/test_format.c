/* SPDX-License-Identifier: MIT */
/* The guest's printf family against the C library's, on the same inputs and at every size. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* format.c takes the names of the library's; here both are needed. */
int guest_snprintf(char *restrict to, size_t size, const char *restrict format, ...)
	__attribute__((format(printf, 3, 4)));
int guest_vsnprintf(char *restrict to, size_t size, const char *restrict format, va_list list)
	__attribute__((format(printf, 3, 0)));

#define snprintf guest_snprintf
#define vsnprintf guest_vsnprintf
#include "../../init/format.c"
#undef snprintf
#undef vsnprintf

#define ROOM 512

/* What snprintf leaves of a text in so many bytes. */
static void check(const char *got, size_t size, const char *text)
{
	size_t kept = strlen(text) < size ? strlen(text) : size - 1;

	assert_memory_equal(got, text, kept);
	assert_int_equal(got[kept], '\0');
}

/* The same arguments for both, with every size from 0 on: the same bytes, the same answer, nothing behind the end. */
#define SAME(...) \
	do { \
		char text[ROOM]; \
		int len = snprintf(text, sizeof text, __VA_ARGS__); \
		for (size_t size = 0; size <= (size_t)len + 2; size++) { \
			char *got = malloc(size ? size : 1); \
			assert_int_equal(guest_snprintf(got, size, __VA_ARGS__), len); \
			if (size > 0) \
				check(got, size, text); \
			free(got); \
		} \
		assert_int_equal(guest_snprintf(NULL, 0, __VA_ARGS__), len); \
	} while (0)

static const long numbers[] = { 0, 1, 9, 10, 99, 100, 12345, INT32_MAX, -1, -9, -10, INT32_MIN, UINT32_MAX, LONG_MAX,
	LONG_MIN, 1l << 40, -(1l << 40), 0xdeadbeefl };
#define NUMBERS (sizeof numbers / sizeof *numbers)

static void plain(void **state)
{
	(void)state;
	SAME("x");
	SAME("100%%");
	SAME("%%%%");
	SAME("a line, as they are\n");
	SAME("%s", "");
	SAME("K\xc3\xbcste \xff\x01");
	assert_int_equal(guest_snprintf(NULL, 0, "%s", ""), 0);
}

static void integers(void **state)
{
	(void)state;
	for (size_t i = 0; i < NUMBERS; i++) {
		long n = numbers[i];

		SAME("%d", (int)n);
		SAME("%u", (unsigned)n);
		SAME("%x", (unsigned)n);
		SAME("%ld", n);
		SAME("%lu", (unsigned long)n);
		SAME("%lx", (unsigned long)n);
		SAME("%zu", (size_t)n);
		SAME("%zx", (size_t)n);
		SAME("%zd", (ssize_t)n);
		SAME("%lld", (long long)n);
		SAME("%llu", (unsigned long long)n);
		SAME("%llx", (unsigned long long)n);
		SAME("<%d|%u>", (int)n, (unsigned)n);
	}
}

static void texts(void **state)
{
	static const char bytes[] = { 'n', 'o', ' ', 'e', 'n', 'd' };

	(void)state;
	SAME("%s", "text");
	SAME("%s: %s", "a", "b");
	SAME("%c%c%c", 'x', '%', '\xfe');
	SAME("%.*s", 0, "text");
	SAME("%.*s", 2, "text");
	SAME("%.*s", 4, "text");
	SAME("%.*s", 40, "text");
	SAME("%.*s", -1, "text");
	SAME("%.*s", (int)sizeof bytes, bytes);  /* not terminated: nothing behind it is read */
	/* A character 0 ends the text for its reader, not for the count. */
	assert_int_equal(guest_snprintf((char[8]){ 0 }, 8, "a%cb", 0), 3);
}

/* Messages as they are. */
static void together(void **state)
{
	(void)state;
	SAME("%s %.*s: %s", "FILE", 8, "etc/motd-and-more", "No such file or directory");
	SAME("kernel command line: %.*s: %s; its default is used", 11, "hawser.x=yz quiet", "is not an option");
	SAME("the ring keeps its size of %u bytes", 262144u);
	SAME("/proc/cmdline: longer than %zu bytes; the rest is not looked at", (size_t)4096);
	SAME("/dev/pts/%u", 0u);
	SAME("%s%s%s", "what", ": ", "detail");
	SAME("%u of %ld, %d%% and %lx%c", 4294967295u, -1l, -50, 0xfffful, '!');
}

static int through(char *to, size_t size, const char *format, ...)
{
	va_list args, again;
	int n, m;

	va_start(args, format);
	va_copy(again, args);
	n = guest_vsnprintf(to, size, format, args);
	/* The caller's list is as it was: it can be used once more. */
	m = guest_vsnprintf(to, size, format, again);
	va_end(again);
	va_end(args);
	assert_int_equal(n, m);
	return n;
}

static void lists(void **state)
{
	char text[64];

	(void)state;
	assert_int_equal(through(text, sizeof text, "%s %u %.*s", "a", 7u, 2, "bcd"), 6);
	assert_string_equal(text, "a 7 bc");
}

/* What is not spoken here ends the text. */
static void unknown(void **state)
{
	static const char *const formats[] = { "a%", "a%5d", "a%05d", "a%-5d", "a%+d", "a% d", "a%#x", "a%f", "a%g",
		"a%p", "a%n", "a%m", "a%i", "a%o", "a%X", "a%hd", "a%jd", "a%.3s", "a%.", "a%.*", "a%l", "a%z",
		"a%\xff", "a%*d" };

	(void)state;
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		char text[16] = "................";

		assert_int_equal(through(text, sizeof text, formats[i], 1, "b"), 1);
		assert_string_equal(text, "a");
	}
}

static void random_numbers(void **state)
{
	uint64_t n = 0xf0f;

	(void)state;
	for (int round = 0; round < 500; round++) {
		n = n * 6364136223846793005u + 1442695040888963407u;
		SAME("%lu%.*s%ld %x", n, (int)(n >> 60), "some of this text", (long)n >> (n & 63),
			(unsigned)(n >> 40));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(integers),
		cmocka_unit_test(texts),
		cmocka_unit_test(together),
		cmocka_unit_test(lists),
		cmocka_unit_test(unknown),
		cmocka_unit_test(random_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

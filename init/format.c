/* SPDX-License-Identifier: MIT */
/*
 * format: printf's family with the conversions that hawser's messages use: %s %.*s %c %u %d %x, with l or z, and no
 * width; in the place of musl's, which brings floating point and 10 KiB of code along. An unknown conversion ends the
 * text, so that a mistake is seen and nothing is read that is not there.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct text {
	char *to;
	size_t size, len;        /* len goes on counting when to is full, as in the standard */
};

static void put(struct text *t, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++, t->len++)
		if (t->len + 1 < t->size)
			t->to[t->len] = s[i];
}

static void put_number(struct text *t, uint64_t value, unsigned base, bool negative)
{
	char digits[24];
	size_t at = sizeof digits;

	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value > 0);
	if (negative)
		digits[--at] = '-';
	put(t, digits + at, sizeof digits - at);
}

struct conversion {
	size_t precision;
	bool has_precision, wide;
};

/* What stands between % and the letter. Returns where the letter is. */
static const char *conversion_read(struct conversion *c, const char *f, va_list *args)
{
	*c = (struct conversion){ 0 };
	if (f[0] == '.' && f[1] == '*') {
		c->precision = (size_t)va_arg(*args, int);
		c->has_precision = true;
		f += 2;
	}
	for (; *f == 'l' || *f == 'z'; f++)
		c->wide = true;
	return f;
}

int vsnprintf(char *restrict to, size_t size, const char *restrict f, va_list list)
{
	struct text t = { .to = to, .size = size };
	va_list args;

	va_copy(args, list);
	for (; *f; f++) {
		struct conversion c;

		if (*f != '%') {
			put(&t, f, 1);
			continue;
		}
		f = conversion_read(&c, f + 1, &args);
		if (*f == 's') {
			const char *s = va_arg(args, const char *);

			put(&t, s, c.has_precision ? strnlen(s, c.precision) : strlen(s));
		} else if (*f == 'c') {
			char byte = (char)va_arg(args, int);

			put(&t, &byte, 1);
		} else if (*f == 'd') {
			int64_t value = c.wide ? va_arg(args, long) : va_arg(args, int);

			put_number(&t, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0);
		} else if (*f == 'u' || *f == 'x') {
			uint64_t value = c.wide ? va_arg(args, unsigned long) : va_arg(args, unsigned);

			put_number(&t, value, *f == 'x' ? 16 : 10, false);
		} else if (*f == '%') {
			put(&t, f, 1);
		} else {
			break;
		}
	}
	va_end(args);
	if (size > 0)
		t.to[t.len < size ? t.len : size - 1] = '\0';
	return (int)t.len;
}

int snprintf(char *restrict to, size_t size, const char *restrict format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(to, size, format, args);
	va_end(args);
	return n;
}

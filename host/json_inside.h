/* SPDX-License-Identifier: MIT */
/* What json.c, which knows the library, has for json_fields.c, which does not. */
#ifndef HOST_JSON_INSIDE_H
#define HOST_JSON_INSIDE_H

#include "json.h"

#define KEY_SHOWN "%.64s"        /* a key in a message; it came from the document and can be long */

/* As json_key_problem(), without the way to the key. */
int json_key_problem_bare(const struct json_value *member, struct problem *problem, const char *text);
bool json_is_numeric(const struct json_value *value);
/* A number without a fraction; 64.0 is one, as it is for JSON Schema. */
bool json_whole_number(const struct json_value *value, int64_t *v);
bool json_truth(const struct json_value *value, bool *truth);    /* false: it is neither true nor false */
size_t json_count(const struct json_value *list);                /* its elements */

#endif

/* SPDX-License-Identifier: MIT */
/*
 * tree: what lies in files/ and credentials/ of a machine's directory: names, and what the kernel says of them; never
 * a byte of their contents.
 *
 * Every step is an openat() below a directory's descriptor that follows no symbolic link, so nothing outside can be
 * reached, whatever is swapped meanwhile. A tree is compared with a later scan of the same to find out what changed.
 */
#ifndef HOST_TREE_H
#define HOST_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "problem.h"

#define TREE_FILE_MAX ((uint64_t)1 << 30)        /* bytes of one file below files/ */

struct tree_node {
	char *path;              /* below the tree's directory; of a credential, its name */
	char *target;            /* of a symbolic link; else NULL */
	struct stat stat;
};

struct tree {
	char *label;             /* for messages: "DIR/files" */
	int fd;                  /* the directory that the paths are below; -1: there is none, and no node */
	struct stat stat;        /* its own */
	size_t n, size;
	struct tree_node *nodes; /* sorted; a directory comes before what is in it */
	size_t plan;             /* bytes of the records that announce the nodes */
	uint64_t bytes;          /* of all regular files */
};

/* All zero but fd is an empty tree. */
#define TREE_EMPTY (struct tree){ .fd = -1 }

/*
 * Scan DIR/files and DIR/credentials and check every name, kind and size. The records may take at most `room` bytes,
 * which also bounds the memory. 0, or -1 with the problem set; the tree is to be finished in both cases.
 */
int tree_scan_files(struct tree *tree, int dirfd, const char *dir, size_t room, struct problem *problem);
int tree_scan_credentials(struct tree *tree, int dirfd, const char *dir, size_t room, struct problem *problem);
void tree_finish(struct tree *tree);

/* Bytes of the record that announces a node, header included. */
size_t tree_record_size(const struct tree_node *node, bool credential);
/* Opens a regular file of the tree, as long as it is still the one that was scanned. -1 with the problem set. */
int tree_open(const struct tree *tree, const struct tree_node *node, struct problem *problem);
/* Whether an open file is still as it was scanned. */
int tree_check(const struct tree *tree, const struct tree_node *node, int fd, struct problem *problem);
/* Whether a later scan found the same. -1 with the problem set, which names the first difference. */
int tree_compare(const struct tree *tree, const struct tree *later, struct problem *problem);
/* When the youngest node was changed last: CLOCK_REALTIME in ns; 0: there is none. */
uint64_t tree_changed_ns(const struct tree *tree);
/* "DIR/files/PATH: ..." */
int tree_problem(const struct tree *tree, const char *path, struct problem *problem, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif

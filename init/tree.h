/* SPDX-License-Identifier: MIT */
/*
 * tree: files and directories below a directory, by paths that were checked. In a stage no symbolic link is followed;
 * in the guest's root those of the image are, and never out of it.
 */
#ifndef INIT_TREE_H
#define INIT_TREE_H

#include "../vsock/wire.h"

/* In a stage. All return 0 or a descriptor, or a negative errno; -ELOOP: the path leads through a symbolic link. */
int tree_make_dir(int root, struct wire_text path);
int tree_make_link(int root, struct wire_text path, struct wire_text target);
int tree_make_file(int root, struct wire_text path);     /* to write; -EEXIST when it is there */
/*
 * Puts what lies at path in the stage `from` at the same path below the root `to`: renamed, or copied where
 * another file system is mounted there. What was there is replaced, unless it is a directory. Owner and mode are set
 * first.
 */
int tree_move(int from, int to, struct wire_text path, const struct wire_node *node, bool is_link);
/* Copies node->size bytes of a file to name in a directory, with the node's owner and mode; replaces what was there. */
int tree_copy(int in, int to, const char *name, const struct wire_node *node);
/* Owner and mode of what is called name in a directory. */
int tree_own(int dirfd, const char *name, const struct wire_node *node, bool is_link);
/* A directory that is there keeps its mode and owner. */
int tree_place_dir(int to, struct wire_text path, const struct wire_node *node);

/* All of it, but not what is mounted there; what cannot be removed stays. */
void tree_remove(int dirfd, const char *path);
void tree_empty(int dirfd);                              /* the same for all that is in a directory */
void tree_wipe(int dirfd);                               /* overwrites and removes the files of one directory */

#endif

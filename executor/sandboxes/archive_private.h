/* What archive.c and archive_pack.c share: the header block of ustar. */
#ifndef EXECUTOR_ARCHIVE_PRIVATE_H
#define EXECUTOR_ARCHIVE_PRIVATE_H

#include "executor/sandboxes/archive.h"

enum { TAR_BLOCK = 512, TAR_RECORD = 10240 };

struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100],
		magic[6], version[2], uname[32], gname[32], major[8], minor[8], prefix[155],
		pad[12];
};

_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a header is a block");

/* The sum of the block's bytes, with its own field as blanks. */
unsigned tar_sum(const struct tar_header *h);

#endif

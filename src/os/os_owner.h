/* SPDX-License-Identifier: MIT */
/* Whose files are. */
#ifndef OS_OS_OWNER_H
#define OS_OS_OWNER_H

/* Where root works in a directory that is somebody else's, what it has just
 * made there becomes theirs, too: else a look by root at the store of a service
 * would leave files that the service cannot open. Takes descriptors; where the
 * file system does not do it the file stays root's. */
void os_give_to_owner(int made, int dir);
/* The same for a folder by its name; one in the current directory stays. */
void os_give_folder(int dir, const char *name);

#endif

/* SPDX-License-Identifier: MIT */
/* The files of a simulated disk, to be damaged behind the engine's back: what
 * is changed here counts as durable at once. */
#ifndef TEST_SIM_FILES_H
#define TEST_SIM_FILES_H

#include "base/slice.h"
#include "os_sim_disk.h"

enum { SIM_PATH_MAX = 256, SIM_FILES_MAX = 256 };

typedef struct sim_file {
    char path[SIM_PATH_MAX]; /* from the root, without a slash in front */
    unsigned folder, inode;
    bool is_dir;
    slice bytes; /* of a file, while nobody writes to it */
} sim_file;

/* Lists every file and folder, folders after what is in them; returns how
 * many. */
size_t sim_files(const os_sim *, sim_file out[SIM_FILES_MAX]);

/* Returns the file of that path; NULL if there is none. */
const sim_file *sim_files_find(const sim_file *, size_t count,
                               const char *path);

/* Gives a file other bytes; returns them, to be changed further. */
uint8_t *sim_file_set(os_sim *, const sim_file *, slice bytes);

/* Makes a file, or sets one that is there. folder: of a listing of s. */
void sim_file_put(os_sim *s, const sim_file *folder, const char *path,
                  slice bytes);

/* Takes the name of a file, or of a folder with all that is in it, away. */
void sim_file_delete(os_sim *, const sim_file *);

#endif

/* SPDX-License-Identifier: MIT */
/* Files of log segments: names, making them ready, reading them whole. */
#ifndef ENGINE_LOG_SEGMENT_H
#define ENGINE_LOG_SEGMENT_H

#include "base/buf.h"
#include "base/status.h"
#include "engine/log/record.h"
#include "os/os.h"

/* Where the segments of a store are, and whose they are. */
typedef struct segment_place {
    const os *sys;
    const os_dir *dir; /* the folder of the log */
    uint64_t identity;
    uint64_t epoch;
} segment_place;

/* Writes the path of a segment. Returns 0 or -ENAMETOOLONG. */
int segment_path(const segment_place *, uint64_t number,
                 char out[PERSIST_PATH_MAX]);

/* Makes a segment of this size ready to be written: its blocks allocated, its
 * header and its name durable. recycled, unless 0, is the number of a segment
 * that is needed no more and whose file is taken. *out is the open file. A
 * failure leaves no new file behind. */
persist_status segment_prepare(const segment_place *, uint64_t number,
                               uint64_t size, uint64_t recycled, os_file **out,
                               persist_error *);

/* Opens a segment that is there for writing more into it; PERSIST_NONE if it
 * has a second name, which may be that of another store's. */
persist_status segment_open(const segment_place *, uint64_t number,
                            os_file **out, persist_error *);

/* Looks whether the name of a segment leads to the file that is open, or, if
 * that is NULL, to any, and whether that has so many bytes; says what has
 * happened if not. */
persist_status segment_check_name(const segment_place *, uint64_t number,
                                  os_file *, uint64_t size, persist_error *);

/* Makes durable what can be read of a segment. */
persist_status segment_sync(const segment_place *, uint64_t number,
                            persist_error *);

/* Makes a segment of the bytes in the buffer, which begin with room for its
 * header, and makes it durable. A failure leaves no file behind. */
persist_status segment_write(const segment_place *, uint64_t number, buf *,
                             persist_error *);

/* Reads the header of a segment. PERSIST_NONE if there is no such file, or it
 * does not begin with the header of this segment of this store. */
persist_status segment_read_header(const segment_place *, uint64_t number,
                                   segment_header *out, persist_error *);

/* Looks at the bytes of a file that is not the segment of its name.
 * PERSIST_NONE: they are records of one that no manifest lists yet (from a
 * number on), and nothing else is. A file that is used again has another name
 * for a moment, or both; such a one had been listed before. */
persist_status segment_check_own(const segment_place *, uint64_t number,
                                 uint64_t unlisted, slice bytes,
                                 persist_error *);

/* Tells whether a segment file begins with zeros only: nothing was ever written
 * to it, since records follow the header without a gap. */
persist_status segment_is_blank(const segment_place *, uint64_t number,
                                bool *blank, persist_error *);

/* The bytes of a segment file, in place or read into memory. Zeroed: none. */
typedef struct segment_image {
    slice bytes;
    os_map map;
    buf copy;
} segment_image;

/* Brings in a segment whole, at most size_max bytes; what the image held goes,
 * in any case. The file is not written to while the image is in use.
 * PERSIST_NONE if there is no such file; PERSIST_CORRUPT if it is bigger. */
persist_status segment_load(const segment_place *, uint64_t number,
                            uint64_t size_max, segment_image *out,
                            persist_error *);

/* Gives back what the image holds. Safe on a zeroed one. */
void segment_release(const segment_place *, segment_image *);

#endif

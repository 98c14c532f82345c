/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share. Each file of test/fuzz is one: bytes in, and
 * the process ends if a property does not hold. */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include "../../lib/os_sim.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "persist.h"
#include "sx.h"

/* The target. Always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- checksums (sums.c) ----------------------------------------------- */

/* While this is set every checksum is one number: mutated bytes get past the
 * checksums, and what encoders make has the same one. The linker puts these
 * in the place of the functions of base/hash.h. */
extern bool fuzz_sums_hold;
uint64_t __wrap_hash_xxh3(slice);
uint64_t __wrap_hash_xxh3_seed(slice, uint64_t);
uint64_t __real_hash_xxh3(slice);
uint64_t __real_hash_xxh3_seed(slice, uint64_t);

/* ---- the language (machine.c) ----------------------------------------- */

/* A machine with a small heap that holds nothing but its globals. It is kept,
 * since making one takes longer than most inputs. */
sx *fuzz_machine(void);

/* ---- files (files.c) -------------------------------------------------- */

/* Many files as one input. Each is: path, a zero byte, size of the bytes,
 * count of zeros behind them (varints), bytes; a path that ends with a slash
 * is a folder. Makes them durable; stops at what it cannot read. */
void fuzz_files_load(cursor *, os_sim *);

/* Appends all files below a directory in that form. */
void fuzz_files_save(os_sim *, const char *dir, buf *out);

/* ---- the process (process.c) ------------------------------------------ */

/* A process without an outside: what os_posix and os_stream.h show. */
typedef struct fuzz_process {
    os_sim *sim;
    slice input; /* of standard input */
    size_t at;   /* so much of it was read */
    size_t read_at_once;
    unsigned looks; /* for a signal to end, which comes after looks_max */
    unsigned looks_max;
    bool terminal; /* standard output is one */
    buf output;    /* what came to it */
} fuzz_process;
extern fuzz_process fuzz_process_now;

#endif

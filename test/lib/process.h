/* SPDX-License-Identifier: MIT */
/* What the kernel says of a process. */
#ifndef TEST_LIB_PROCESS_H
#define TEST_LIB_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/* Bytes that this process has read by system calls; mapped files are not
 * among them. */
uint64_t process_bytes_read(void);

/* Descriptors that this process has open, and a constant. */
unsigned process_descriptors(void);

/* Memory of a process that no file stands behind, in MB; 0 if it has ended. */
double process_anonymous_mb(pid_t);

#endif

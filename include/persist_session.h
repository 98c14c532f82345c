/* SPDX-License-Identifier: MIT */
/* Which store it is, and sessions: handles that do not go on after they have
 * lost something. A part of persist.h, which includes it. */
#ifndef PERSIST_SESSION_H
#define PERSIST_SESSION_H

#include "persist_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- which store it is ------------------------------------------------ */

#define PERSIST_IDENTITY_SIZE 32u
/* As hex digits, and a NUL. */
typedef char persist_identity_text[PERSIST_IDENTITY_SIZE + 1];

/* Tells the identity of a store, which it got when it was made, at random, and
 * keeps: wherever it is moved to, it is the same store, and so is a copy of the
 * directory. parent, which may be NULL, is the identity of the store that it
 * was made from; empty: of none. */
persist_status persist_identity(persist_store *store,
                                persist_identity_text self,
                                persist_identity_text parent,
                                persist_error *error);

/* ---- sessions --------------------------------------------------------- */

/* Begins a session: one more handle of a store, for one piece of work, such as
 * a request. It takes all functions, and does what the store's own does, but
 * that it does not go on where something was taken back: after a failed sync a
 * session that made, or saw with PERSIST_LATEST, a commit which was not durable
 * rests on what is not there, and each of its calls is PERSIST_LOST from then
 * on, but for persist_session, persist_resync and persist_close. (The store's
 * own handle goes on to read what was durable last.) A wait for one commit,
 * persist_wait_durable, is judged by that commit alone, and what is open shows
 * the state that it was opened with. A snapshot is of the store, for all
 * sessions; one that reads in it has seen its commit, also when that is lost
 * already: then its next call says so. A session costs some words of memory;
 * persist_close ends it, at any time, and not the store, which is closed when
 * all its sessions are. Cursors, snapshots, readers and writers of blobs are of
 * the store: those that a session has opened may stay open when it is closed,
 * and work on. So do sessions: `store` may be one. */
persist_status persist_session(persist_store *store, persist_store **out,
                               persist_error *error);

/* Begins the session anew: what it has made and seen counts no more. Nothing
 * to a store's own handle. */
persist_status persist_resync(persist_store *session, persist_error *error);

#ifdef __cplusplus
}
#endif

#endif

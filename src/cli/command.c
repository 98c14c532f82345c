/* SPDX-License-Identifier: MIT */
/* What can be typed behind `persist`: one table, and what is shown of it. */
#include "cli/command.h"

#include <stdio.h>

#include "base/help.h"

const command command_table[COMMANDS] = {
    {"stat", NULL, cli_stat, "sj", 0, 0, "", "how much is in the store",
     "A number a line: streams, events, keys, the last commit, files of the "
     "log, tables and their bytes, and what this opening has read of the log "
     "and takes of memory. It reads all keys to count them. Before them the "
     "identity: drawn when the store is made, and kept, so a store that is "
     "moved, and a copy of its directory, have the same; and the parent: the "
     "identity of the store that it was made from, none (null in JSON) where "
     "it was made anew."},
    {"streams", NULL, cli_streams, "sjlpa", 0, 0, "",
     "every stream: events stored, last number",
     "By name, in byte order. With --json also the number of the first event "
     "that is left, and the bytes of all."},
    {"read", NULL, cli_read, "sjfl", 1, 1, " STREAM",
     "the events of one stream, oldest first",
     "An event a line, as it is stored; with --json its stream, seq and "
     "position besides. --from is a number (seq) of the stream."},
    {"log", NULL, cli_log, "sjfl", 0, 0, "",
     "the events of all streams, in commit order",
     "An event a line: the time of its commit (in UTC; - where none is known), "
     "and the event as it is stored. With --json its stream, seq, position and "
     "time (microseconds since 1970, 0 where none is known) besides. --from is "
     "a position."},
    {"kv", "keys", cli_keys, "sjpal", 0, 0, "", "every key, in byte order",
     "A key a line, quoted."},
    {"kv", "get", cli_get, "sj", 1, 1, " KEY", "the value of one key",
     "As it is stored; with --json as a JSON string."},
    {"verify", NULL, cli_verify, "sjq", 0, 1, " [DIR]",
     "reads every byte of the store and names all that is damaged; changes "
     "nothing",
     "The store is DIR, or that of --store. A finding a line: file, byte, what "
     "is wrong there, which streams, keys, blobs or commits it touches, and "
     "what to do. A remark is no damage. Exit code: 0 all is well, 1 something "
     "is damaged, or who read the output went away, 2 it could not look at all "
     "of it, or not tell it (a permission, a descriptor, a program that has "
     "the store open, a full disk), which says nothing of the data."},
    {"compact", NULL, cli_compact, "sjq", 0, 1, " [DIR]",
     "merges all tables into one: space of what was dropped comes back",
     "The store is DIR, or that of --store. It does so by itself when much is "
     "dead; this is for now. It takes as much room on the disk as lives in the "
     "tables, until it is done. Ended at any moment, by ctrl-C too, the store "
     "is as it was: run it again. It tells what log and tables took before, "
     "and take now."},
    {"purge", NULL, cli_purge, "sjqt", 0, 1, " [DIR]",
     "compacts, and then no file holds a byte of what was deleted, truncated "
     "or overwritten",
     "The store is DIR, or that of --store. It rewrites all tables, begins the "
     "log anew and deletes every older file, durably. It tells what it has "
     "reached, and what it cannot reach. Ended before its end it has reached "
     "a part: run it again. It waits for who still reads what is to go, as "
     "long as --timeout says, and fails then."},
    {"backup", NULL, cli_backup, "cjq", 2, 2, " DIR DEST",
     "makes a backup of the store DIR in the directory DEST: what is new",
     "It becomes DEST/000001, or has the next number: a store, which can be "
     "verified, read and copied as any other, and has that name only when all "
     "of it is durable, was read and opened. What an earlier backup there has "
     "is linked to that. The files of DIR that are never written to again are "
     "linked, too, which takes no room: but a disk that damages one damages "
     "both, and what a purge of DIR removes stays in backups. --copy copies "
     "them, also to another disk. A backup that was ended leaves "
     "DEST/unfinished, which the next one removes. Old ones are deleted with "
     "rm -r, in any order."},
    {"restore", NULL, cli_restore, "wjq", 2, 2, " DEST NEW",
     "makes the new store NEW of a backup in DEST, and tells which",
     "DEST is a directory of backups, or one of them. It takes the newest, or "
     "the newest that is not behind --at. All is copied, read and opened, and "
     "then NEW has its name; before, it is NEW.restoring, which is no store: "
     "the next restore begins anew. NEW has an identity of its own and names "
     "its parent (persist stat): numbers above its point may be given again "
     "there."},
    {"import", NULL, cli_import, "Ljg", 2, 2, " --legacy OLD NEW",
     "reads the directory OLD of the old host into the new store NEW; never "
     "writes to OLD",
     "OLD has the folders streams, kv and blobs. NEW is made as NEW.importing, "
     "and gets its name when all of it is durable; what is damaged in OLD ends "
     "the import, naming file and line. Last lines that a crash cut short "
     "(unfinished) and files that the old host did not make (unknown) are left "
     "out and named, on standard error, or in left_out with --json. Exit code: "
     "0 all is there, 1 it failed, or something was left out."},
    {"help", NULL, cli_help, "", 0, 2, " [COMMAND]",
     "this text, or all there is to know of a command",
     "COMMAND --help shows the same."},
    {"version", NULL, cli_version, "", 0, 0, "", "the version", ""},
};

const option option_table[OPTIONS] = {
    [OPTION_STORE] = {"store", 's', "DIR",
                      "the store; default: $SX_PERSIST_DIR if that is not "
                      "empty, else persist-data in this directory"},
    {"json", 'j', NULL,
     "one JSON value a line; names and texts that are no UTF-8 show as "
     "{\"bytes\":\"hex\"}"},
    {"quiet", 'q', NULL,
     "no progress, no summary; of verify its findings only"},
    {"from", 'f', "N", "from this number, or position, on"},
    {"limit", 'l', "N", "at most so many"},
    {"prefix", 'p', "P", "those that begin with P"},
    {"after", 'a', "NAME", "those greater than NAME"},
    {"legacy", 'L', NULL, "OLD is of the old host: there is no other import"},
    {"group", 'g', NULL,
     "your group may use NEW, as far as the umask lets it; default: you alone"},
    {"timeout", 't', "TIME",
     "wait so long for readers, such as 0s, 10m or 24h; default: 60s"},
    {"copy", 'c', NULL, "copy every file, in place of linking"},
    {"at", 'w', "POSITION|TIME",
     "the newest state not behind that; TIME is 2026-12-01T10:20:30Z, or "
     "\"10m ago\""},
    {"help", 'h', NULL, "what there is to know of a command; -h too"},
    {"version", 'v', NULL, "the version"},
};

bool command_is(const command *k, char **words, int count)
{
    CHECK(count > 0);
    return strcmp(words[0], k->name) == 0 &&
           (k->part == NULL || count < 2 || strcmp(words[1], k->part) == 0);
}

const char *command_name(const command *k, command_words out)
{
    const char *part = k->part == NULL ? "" : k->part;
    snprintf(out, sizeof(command_words), "%s%s%s", k->name,
             *part == '\0' ? "" : " ", part);
    return out;
}

void command_put_usage(buf *b, const command *k)
{
    command_words name;
    buf_printf(b, "persist %s%s", command_name(k, name), k->arguments);
    for (const char *at = k->options; *at != '\0'; at++)
        for (const option *o = option_table; o < option_table + OPTIONS; o++)
            if (o->letter == *at && *at >= 'a')
                buf_printf(b, o->value == NULL ? " [--%s]" : " [--%s %s]",
                           o->name, o->value);
}

/* Those of a command, or all. */
static void put_options(buf *b, const char *letters)
{
    for (const option *o = option_table; o < option_table + OPTIONS; o++) {
        char head[32];
        if (letters != NULL && strchr(letters, o->letter) == NULL)
            continue;
        snprintf(head, sizeof head, "  --%s %s", o->name,
                 o->value == NULL ? "" : o->value);
        help_put(b, 18, head, o->what);
    }
}

void command_put_help(buf *b, const command *k)
{
    buf_put_str(b, "usage: ");
    command_put_usage(b, k);
    buf_put_str(b, "\n\n");
    help_put(b, 0, "", k->what);
    help_put(b, 0, "", k->more);
    if (*k->options != '\0')
        buf_put_str(b, "\noptions:\n");
    put_options(b, k->options);
}

void command_put_overview(buf *b)
{
    buf_put_str(b, "persist " PERSIST_VERSION
                   ": looks into a store of events, keys and blobs\n\n"
                   "usage: persist COMMAND [arguments] [options]\n\n");
    for (const command *k = command_table; k < command_table + COMMANDS; k++) {
        command_words name;
        char head[64];
        snprintf(head, sizeof head, "  %s%s", command_name(k, name),
                 k->arguments);
        help_put(b, 25, head, k->what);
    }
    buf_put_str(b, "\noptions (persist COMMAND --help tells those of one):\n");
    put_options(b, NULL);
    help_put(
        b, 0, "",
        "\nA name that begins with a dash stands behind --. On a terminal "
        "control characters show as \\xNN; elsewhere bytes come as they are "
        "stored.\n"
        "\nA copy of a store, made while that is closed, is to be synced "
        "before it is opened: cp -r OLD NEW && sync -f NEW.\n"
        "\nWho opens a store that was not closed (its program was killed) "
        "finishes what was begun: also a command that only shows something "
        "writes to it then, and makes one of an older format one of this. "
        "verify never writes, and a store that was closed stays as it is.\n"
        "\nA store is opened by one process at a time: stop the program that "
        "uses it first. Exit code: 0 done, 1 failed, 2 wrong usage; of verify "
        "and import see their help. Who reads the output and goes away, as "
        "head does, ends persist: without a word, exit code 1.");
}

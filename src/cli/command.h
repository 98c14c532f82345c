/* SPDX-License-Identifier: MIT */
/* What can be typed behind `persist`: one table, and what is shown of it. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "cli/cli.h"

typedef struct command {
    const char *name, *part; /* part: a second word, or NULL */
    int (*run)(cli *);
    const char *options; /* those that it takes, by their letters; a capital
                          * stands among the arguments */
    int least, most;     /* arguments */
    const char *arguments;
    const char *what; /* it does, in a few words */
    const char *more; /* is to be known of it */
} command;

typedef struct option {
    const char *name;
    char letter;       /* in command.options */
    const char *value; /* what follows it, or NULL */
    const char *what;
} option;

enum { COMMANDS = 14, OPTIONS = 14, OPTION_STORE = 0 };

extern const command command_table[COMMANDS];
extern const option option_table[OPTIONS];

/* Writes the name to out, of one word or two; returns out. */
typedef char command_words[24];
const char *command_name(const command *, command_words out);

/* Tells whether the first words are this command, or the first word of two. */
bool command_is(const command *, char **words, int count);

/* Append to a text. Usage: "persist kv get KEY [--store DIR] [--json]". Help:
 * all there is to know of a command. Overview: of all of them. */
void command_put_usage(buf *, const command *);
void command_put_help(buf *, const command *);
void command_put_overview(buf *);

#endif

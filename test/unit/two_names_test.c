/* SPDX-License-Identifier: MIT */
/* A power cut in the middle of a rename can leave both names where the file
 * system has no journal: a segment that was being used again is then there
 * twice, as the one that it was and as the one that it was to become. Whoever
 * took one name for a file that is free would write over the other. */
#include "world.h"

enum { SEGMENT = 65536, KEYS = 100, KEY = 1000, LIVES = 6 };

static persist_store *open_small(void)
{
    const persist_options options = {PERSIST_OPTIONS, .path = data,
                                     .create = true, .segment_size = SEGMENT};
    persist_store *s = NULL;
    if (persist_open(&options, &s, &error) != PERSIST_OK)
        fprintf(stderr, "open: %s\n", error.message);
    return s;
}

/* Long ones fill several segments soon. */
static const char *key_of(int number, char out[KEY])
{
    snprintf(out, KEY, "%0*d", KEY - 1, number);
    return out;
}

typedef struct life {
    int before, puts; /* keys that are there, and that come */
} life;

/* Ends as a kill does. */
static int live(void *context)
{
    const life *l = context;
    char key[KEY];
    persist_store *s = open_small();
    SEE(s != NULL);
    for (int i = 0; i < l->before; i++)
        SEE(has(s, key_of(i, key)));
    for (int i = 0; i < l->puts; i++)
        SEE(put(s, key_of(l->before + i, key)) == PERSIST_OK);
    return 0;
}

static int live_for(int before, int puts)
{
    life l = {before, puts};
    int line = in_child(live, &l);
    if (line != 0)
        fail_msg("a life on %d keys ended in line %d", before, line);
    return before + puts;
}

/* Every file of the log gets the name of one that is to be made, of one that
 * was before the first, or both. */
static void a_segment_of_two_names_is_not_used_again(void **state)
{
    (void)state;
    static const char link_all[] =
        "cd data/wal && for f in $(ls); do "
        "n=$((0x${f%%.log} + %d)); g=$(printf %%016x.log $n); "
        "[ $n -lt 1 ] || [ -e $g ] || ln $f $g; done";
    static const int steps[] = {1, -1, 3, 7, -2, 16};
    int keys = 0;
    for (int i = 0; i < LIVES; i++) {
        keys = live_for(keys, KEYS);
        assert_int_equal(run(link_all, steps[i]), 0);
        /* its opening clears up, and the next one needs what was not to go */
        keys = live_for(keys, 3);
    }
    char key[KEY];
    persist_store *s = open_small();
    assert_non_null(s);
    for (int k = 0; k < keys; k++)
        assert_true(has(s, key_of(k, key)));
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
    persist_progress progress = {PERSIST_PROGRESS};
    const persist_options options = {PERSIST_OPTIONS, .path = data};
    assert_int_equal(persist_verify(&options, NULL, &progress, &error),
                     PERSIST_OK);
    assert_int_equal(progress.damages, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(a_segment_of_two_names_is_not_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

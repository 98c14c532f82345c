/* SPDX-License-Identifier: MIT */
/* Root opens a store of somebody else's, who goes on with it. */
#include "world.h"

enum { NOBODY = 65534 };

static int use_as_another(void *context)
{
    const char *key = context;
    persist_store *s;
    SEE(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    SEE(try_open(data, &s) == PERSIST_OK);
    SEE(put(s, key) == PERSIST_OK);
    SEE(has(s, "k"));
    return 0;
}

/* Root finishes what was killed, and makes files, folders and a store; all of
 * it is its owner's. What root has at another place stays root's. */
static void what_root_makes_is_the_owners(void **state)
{
    (void)state;
    if (getuid() != 0)
        return;
    char key[] = "k";
    assert_int_equal(
        run("mkdir data && touch roots && chown %d:%d data", NOBODY, NOBODY),
        0);
    for (int i = 0; i < 3; i++) {
        persist_cid cid;
        if (i > 0)
            assert_int_equal(in_child(use_as_another, key), 0);
        if (i == 2)
            assert_int_equal(run("rm -rf data/reserve.tmp data/tmp "
                                 "&& ln roots data/reserve.tmp"),
                             0);
        persist_store *s = open_at(data);
        assert_int_equal(put(s, "k"), PERSIST_OK);
        assert_int_equal(persist_blob_put(s, slice_str("b"), cid, &error),
                         PERSIST_OK);
        assert_int_equal(persist_close(s, &error), PERSIST_OK);
        assert_int_equal(run("[ $(stat -c %%u roots) = 0 ] && find data "
                             "! -path data/reserve.tmp ! -uid %d | "
                             "{ ! grep .; }",
                             NOBODY),
                         0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(what_root_makes_is_the_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

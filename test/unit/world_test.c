/* SPDX-License-Identifier: MIT */
/* The world moves under an open store: directories, locks, descriptors and
 * users, on the real system. */
#include <sys/socket.h>
#include <sys/un.h>

#include "world.h"

enum { NOBODY = 65534 };

/* ---- the directory ---------------------------------------------------- */

static void another_directory_is_never_written(void **state)
{
    (void)state;
    persist_store *first = open_at(data), *second;
    assert_int_equal(put(first, "before"), PERSIST_OK);
    assert_int_equal(run("mv data old && cp -r old data"), 0);
    second = open_at(data);
    assert_int_equal(put(second, "second"), PERSIST_OK);
    assert_noticed(first, "was moved, and another is in its place");
    char old[96];
    snprintf(old, sizeof old, "%s/old", top);
    persist_store *third;
    assert_int_equal(try_open(old, &third), PERSIST_LOCKED);
    assert_int_equal(error.holder_pid, getpid());
    assert_int_equal(persist_close(first, NULL), PERSIST_READ_ONLY);
    assert_int_equal(put(second, "more"), PERSIST_OK);
    assert_int_equal(persist_close(second, NULL), PERSIST_OK);
    third = open_at(old);
    assert_true(has(third, "before"));
    assert_false(has(third, "second"));
    assert_int_equal(persist_close(third, NULL), PERSIST_OK);
}

static void a_directory_that_is_gone_is_noticed(void **state)
{
    (void)state;
    static const char *const ways[] = {"mv data old", "rm -rf data",
                                       "mv ../$(basename $PWD) $PWD.old"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        persist_store *s = open_at(data);
        assert_int_equal(put(s, "before"), PERSIST_OK);
        assert_int_equal(run("%s", ways[i]), 0);
        assert_noticed(s, "was moved or deleted");
        assert_int_equal(persist_close(s, NULL), PERSIST_READ_ONLY);
        if (i == 2) {
            char command[160];
            snprintf(command, sizeof command, "mv %s.old %s", top, top);
            assert_int_equal(system(command), 0);
        }
        assert_int_equal(run("rm -rf data old"), 0);
    }
}

/* What comes back is the same store. */
static void a_directory_that_returns_is_the_same(void **state)
{
    (void)state;
    persist_store *s = open_at(data);
    assert_int_equal(put(s, "before"), PERSIST_OK);
    assert_int_equal(run("mv data old && mv old data"), 0);
    assert_int_equal(put(s, "after"), PERSIST_OK);
    assert_int_equal(persist_close(s, NULL), PERSIST_OK);
}

static void a_deleted_lock_yields_no_second_owner(void **state)
{
    (void)state;
    static const char *const ways[] = {"rm data/lock",
                                       "mv data/lock x && cp x data/lock"};
    static const char *const words[] = {"lock was moved or deleted",
                                        "lock was replaced"};
    for (int i = 0; i < 2; i++) {
        persist_store *first = open_at(data), *second;
        assert_int_equal(put(first, "before"), PERSIST_OK);
        assert_int_equal(run("%s", ways[i]), 0);
        if (i == 0)
            assert_noticed(first, words[i]);
        assert_int_equal(try_open(data, &second), PERSIST_LOCKED);
        assert_int_equal(error.holder_pid, 0);
        if (i == 1)
            assert_noticed(first, words[i]);
        assert_int_equal(try_open(data, &second), PERSIST_LOCKED);
        assert_int_equal(persist_close(first, NULL), PERSIST_READ_ONLY);
        second = open_at(data);
        assert_int_equal(put(second, "more"), PERSIST_OK);
        assert_int_equal(persist_close(second, NULL), PERSIST_OK);
        assert_int_equal(run("rm -rf data"), 0);
    }
}

static void the_working_directory_may_change(void **state)
{
    (void)state;
    assert_int_equal(chdir(top), 0);
    persist_store *s = open_at("data/");
    assert_int_equal(put(s, "before"), PERSIST_OK);
    assert_int_equal(chdir("/"), 0);
    for (int i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        if (i % 100 == 0)
            assert_int_equal(put(s, key), PERSIST_OK);
    }
    assert_int_equal(run("mv data old"), 0);
    assert_noticed(s, "was moved or deleted");
    assert_int_equal(persist_close(s, NULL), PERSIST_READ_ONLY);
}

static void a_link_to_a_store_is_followed_and_watched(void **state)
{
    (void)state;
    char link[96];
    snprintf(link, sizeof link, "%s/link", top);
    assert_int_equal(run("mkdir one two && ln -s one link"), 0);
    persist_store *s = open_at(link);
    assert_int_equal(put(s, "before"), PERSIST_OK);
    assert_int_equal(run("ln -sfn two link"), 0);
    assert_noticed(s, "was moved, and another is in its place");
    assert_int_equal(persist_close(s, NULL), PERSIST_READ_ONLY);
}

/* What is in it is not in a table yet. */
static void a_full_segment_that_is_gone_is_noticed(void **state)
{
    (void)state;
    persist_options options = {PERSIST_OPTIONS, .path = data, .create = true,
                               .segment_size = 4096};
    persist_store *s;
    assert_int_equal(persist_open(&options, &s, &error), PERSIST_OK);
    assert_int_equal(put(s, "before"), PERSIST_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(put(s, "k"), PERSIST_OK);
    assert_int_equal(run("test $(ls data/wal | wc -l) -gt 1"), 0);
    assert_int_equal(run("rm data/wal/0000000000000001.log"), 0);
    assert_noticed(s, "1.log was moved or deleted");
    assert_int_equal(persist_close(s, NULL), PERSIST_READ_ONLY);
}

/* So many keys, with numbers for names, from this one on; fewer if one is
 * refused. Returns the number of the next. */
static int put_numbers(persist_store *s, int from, int count)
{
    char key[16];
    for (int end = from + count; from < end; from++) {
        snprintf(key, sizeof key, "%d", from);
        if (put(s, key) != PERSIST_OK)
            break;
    }
    return from;
}

/* Until as many segments are ready as ever are; returns the next number. */
static int put_until_spares(persist_store *s)
{
    int said = 0;
    persist_stats stats = {PERSIST_STATS};
    while (stats.segments_spare < 2) {
        said = put_numbers(s, said, 1);
        assert_int_equal(persist_get_stats(s, &stats, &error), PERSIST_OK);
    }
    return said;
}

/* That it was moved is heard while there is nothing in it; it counts when there
 * is. */
static void a_spare_segment_that_is_moved_is_noticed(void **state)
{
    (void)state;
    static const char *const ways[] = {"mv $f .", "mv $f $f.old",
                                       "mv $f x && cp x $f"};
    enum { MANY = 1000 };
    persist_options options = {PERSIST_OPTIONS, .path = data, .create = true,
                               .background = true, .segment_size = 4096};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        persist_store *s;
        char key[16];
        assert_int_equal(persist_open(&options, &s, &error), PERSIST_OK);
        assert_int_equal(put(s, "before"), PERSIST_OK);
        int said = put_until_spares(s), moved = said;
        assert_int_equal(
            run("f=data/wal/$(ls data/wal | tail -1) && %s", ways[i]), 0);
        said = put_numbers(s, said, MANY);
        if (said < moved + MANY)
            assert_noticed(s, ".log was ");
        (void)persist_close(s, NULL);
        s = open_at(data);
        for (int k = 0; k < said; k++) {
            snprintf(key, sizeof key, "%d", k);
            if (!has(s, key))
                fail_msg("%s: %d of %d are gone", ways[i], said - k, said);
        }
        assert_int_equal(persist_close(s, NULL), PERSIST_OK);
        assert_true(said > moved && said < moved + MANY);
        assert_int_equal(run("rm -rf data *.log x"), 0);
    }
}

/* ---- descriptors ------------------------------------------------------ */

/* Whoever closes what is not his is told so, wherever the numbers lead. */
static void a_program_that_closes_all_is_told(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        int from = open("/dev/null", O_RDONLY);
        persist_store *s = open_at(data);
        assert_int_equal(put(s, "before"), PERSIST_OK);
        int end = open("/dev/null", O_RDONLY);
        for (int fd = from + 1; fd < end; fd++)
            close(fd);
        for (int fd = from + 1; again && fd < end; fd++) {
            char path[128];
            snprintf(path, sizeof path, "%s/victim-%d", top, fd);
            assert_true(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) >= 0);
        }
        assert_int_equal(put(s, "after"), PERSIST_READ_ONLY);
        assert_int_equal(persist_close(s, NULL), PERSIST_READ_ONLY);
        for (int fd = from + 1; again && fd < end; fd++)
            assert_int_equal(close(fd), 0); /* still the program's own */
        close(from);
        close(end);
        assert_int_equal(run("rm -rf data"), 0);
    }
}

static int see_number(void *context, const char *name)
{
    (void)name;
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return *(int *)context = fd;
}

/* A descriptor of a standard stream stays free for the program. */
static void a_store_takes_no_standard_stream(void **state)
{
    (void)state;
    for (int fd = 0; fd < 3; fd++) {
        int kept = dup(fd), seen = -1, next;
        close(fd);
        persist_store *s = open_at(data);
        persist_status status = put(s, "k");
        persist_cid cid;
        persist_status blob =
            persist_blob_put(s, slice_str("bytes"), cid, NULL);
        os_list_in(os_posix(), os_posix()->cwd, data, see_number, &seen);
        next = open("/dev/null", O_RDONLY);
        dup2(kept, fd);
        close(kept);
        assert_int_equal(next, fd);
        assert_int_equal(seen, fd);
        assert_int_equal(status, PERSIST_OK);
        assert_int_equal(blob, PERSIST_OK);
        assert_int_equal(persist_close(s, NULL), PERSIST_OK);
    }
}

/* ---- users ------------------------------------------------------------ */

static mode_t mode_of(const char *name)
{
    char path[256];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", top, name);
    if (stat(path, &info) != 0)
        fail_msg("no %s", path);
    return info.st_mode & 07777;
}

static void fill(bool group)
{
    persist_options options = {PERSIST_OPTIONS, .path = data, .create = true,
                               .group = group};
    options.memtable_size = 16384;
    options.packed_max = 1000;
    persist_store *s;
    persist_cid cid;
    static char big[5000];
    assert_int_equal(persist_open(&options, &s, &error), PERSIST_OK);
    persist_edit edit = {.kind = PERSIST_APPEND,
                         .name = slice_str("s"),
                         .data = slice_of(big, sizeof big)};
    for (int i = 0; i < 10; i++)
        assert_int_equal(persist_commit(s, &edit, 1, NULL, NULL, &error),
                         PERSIST_OK);
    assert_int_equal(
        persist_blob_put(s, slice_of(big, sizeof big), cid, &error),
        PERSIST_OK);
    assert_int_equal(persist_blob_put(s, slice_str("small"), cid, &error),
                     PERSIST_OK);
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
}

/* Nothing is left that has other permissions than these. */
static void assert_modes(const char *files, const char *folders)
{
    assert_int_equal(run("test -z \"$(find data -type f ! -perm %s)\"", files),
                     0);
    assert_int_equal(
        run("test -z \"$(find data -type d ! -perm %s)\"", folders), 0);
    assert_int_equal(run("test $(find data -type f | wc -l) -ge 6"), 0);
    assert_int_equal(run("rm -rf data"), 0);
}

static void what_is_stored_is_private(void **state)
{
    (void)state;
    umask(0);
    fill(false);
    assert_modes("0600", "0700");
    fill(true);
    assert_modes("0660", "0770");
    umask(027);
    fill(true);
    fill(false); /* whoever opens it later */
    assert_modes("0640", "0750");
    umask(022);
    /* an empty directory that was there is made so, */
    assert_int_equal(run("mkdir -m 0755 data"), 0);
    fill(false);
    assert_int_equal(mode_of("data"), 0700);
    assert_int_equal(mode_of("data/lock"), 0600);
    /* a store that was there is left as it is */
    assert_int_equal(run("chmod -R a+rX data"), 0);
    fill(false);
    assert_int_equal(mode_of("data"), 0755);
    assert_int_equal(mode_of("data/lock"), 0644);
    assert_int_equal(run("rm -rf data"), 0);
    /* whatever the group may do there: it is no store yet */
    umask(0);
    assert_int_equal(run("mkdir -m 0750 data"), 0);
    fill(false);
    assert_modes("0600", "0700");
    assert_int_equal(run("mkdir -m 0770 data"), 0);
    fill(true);
    fill(false);
    assert_modes("0660", "0770");
}

/* Another user than the one the store is of, who may read. */
static int become_reader(void)
{
    if (getuid() != 0)
        return 0;
    return setgid(NOBODY) != 0 || setuid(NOBODY) != 0;
}

static int read_only_uses(void *context)
{
    (void)context;
    persist_store *s, *again;
    persist_progress progress = {PERSIST_PROGRESS};
    persist_options options = {PERSIST_OPTIONS, .path = data};
    SEE(become_reader() == 0);
    SEE(persist_open(&options, &s, &error) == PERSIST_OK);
    SEE(has(s, "k") && has(s, "unsaid"));
    SEE(put(s, "no") == PERSIST_READ_ONLY);
    SEE(strstr(error.message, "Permission denied") != NULL);
    persist_cid cid;
    SEE(persist_blob_put(s, slice_str("b"), cid, &error) == PERSIST_READ_ONLY);
    SEE(persist_open(&options, &again, &error) == PERSIST_OK);
    SEE(persist_verify(&options, NULL, &progress, &error) == PERSIST_OK);
    SEE(progress.damages == 0);
    SEE(persist_close(again, &error) == PERSIST_OK);
    SEE(persist_close(s, &error) == PERSIST_OK);
    return 0;
}

/* Dies with a store open; one commit was not waited for. */
static int leave_open(void *context)
{
    (void)context;
    persist_store *s;
    SEE(try_open(data, &s) == PERSIST_OK);
    SEE(put(s, "k") == PERSIST_OK);
    SEE(put(s, "unsaid") == PERSIST_OK);
    return 0;
}

static int locked_for_reader(void *context)
{
    (void)context;
    persist_store *s;
    SEE(become_reader() == 0);
    SEE(try_open(data, &s) == PERSIST_LOCKED);
    SEE(error.holder_pid == getppid());
    return 0;
}

static void who_cannot_write_reads(void **state)
{
    (void)state;
    assert_int_equal(in_child(leave_open, NULL), 0);
    assert_int_equal(run("chmod -R a=rX data"), 0);
    assert_int_equal(run("find data -type f | sort | xargs sha256sum > a"), 0);
    assert_int_equal(in_child(read_only_uses, NULL), 0);
    assert_int_equal(run("rm -f data/lock"), 0);
    assert_int_equal(in_child(read_only_uses, NULL), 0);
    assert_int_equal(run("grep -v data/lock a > b; find data -type f | sort | "
                         "xargs sha256sum | cmp b"),
                     0);
    assert_int_equal(run("chmod -R u+w data"), 0);
    persist_store *s = open_at(data);
    assert_true(has(s, "unsaid"));
    assert_int_equal(run("chmod -R a+rX data"), 0);
    assert_int_equal(in_child(locked_for_reader, NULL), 0);
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
}

/* What may not be looked at is not damaged: whoever is told that it is puts an
 * older backup in its place. */
static int sees_no_damage(void *context)
{
    const char *path = *(const char *const *)context;
    persist_progress progress = {PERSIST_PROGRESS};
    persist_options options = {PERSIST_OPTIONS, .path = data};
    SEE(become_reader() == 0);
    SEE(persist_verify(&options, NULL, &progress, &error) == PERSIST_IO);
    SEE(progress.damages == 0);
    SEE(strstr(error.message, path) != NULL);
    SEE(strstr(error.message, "Permission denied; give this user") != NULL);
    return 0;
}

static void who_may_not_look_sees_no_damage(void **state)
{
    (void)state;
    static const char *paths[] = {
        "data/wal", "data/tables",     "data/blobs",
        "data/tmp", "data/manifest.0", "data/wal/0000000000000001.log"};
    assert_int_equal(in_child(leave_open, NULL), 0);
    assert_int_equal(run("chmod -R a=rX data"), 0);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(run("chmod 0 %s", paths[i]), 0);
        assert_int_equal(in_child(sees_no_damage, &paths[i]), 0);
        assert_int_equal(run("chmod a=rX,u+rwX %s", paths[i]), 0);
    }
}

/* ---- prepared directories --------------------------------------------- */

/* All of them in use, one after the other; each time nothing but one changes.
 */
static void use_linked(const char *mine, const char *other)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%s", top, mine);
    assert_int_equal(run("rm -rf was && cp -r %s was", other), 0);
    for (int i = 0; i < 3; i++) {
        persist_progress progress = {PERSIST_PROGRESS};
        const persist_options options = {PERSIST_OPTIONS, .path = path};
        assert_int_equal(persist_verify(&options, NULL, &progress, &error),
                         PERSIST_OK);
        assert_int_equal(progress.damages, 0);
        assert_int_equal(run("diff -r %s was", other), 0);
        persist_store *s = open_at(path);
        persist_cid cid;
        assert_true(has(s, "unsaid"));
        assert_false(has(s, other));
        for (int k = 0; k < 50; k++)
            assert_int_equal(put(s, mine), PERSIST_OK);
        assert_int_equal(persist_blob_put(s, slice_str(mine), cid, &error),
                         PERSIST_OK);
        persist_store *again;
        assert_int_equal(try_open(path, &again), PERSIST_LOCKED);
        assert_int_equal(error.holder_pid, getpid());
        assert_int_equal(persist_close(s, &error), PERSIST_OK);
        assert_int_equal(run("diff -r %s was", other), 0);
    }
}

static void hard_links_are_not_written_to(void **state)
{
    (void)state;
    for (int closed = 0; closed < 2; closed++) {
        assert_int_equal(in_child(leave_open, NULL), 0);
        if (closed)
            assert_int_equal(persist_close(open_at(data), &error), PERSIST_OK);
        assert_int_equal(run("cp -al data copy && cp -al data third"), 0);
        use_linked("copy", "data");
        use_linked("data", "third");
        use_linked("third", "copy");
        assert_int_equal(run("rm -rf data copy third was"), 0);
    }
}

/* Its file is a link, and somebody has its directory. */
static void a_linked_lock_has_one_owner(void **state)
{
    (void)state;
    persist_store *s = open_at(data), *second;
    assert_int_equal(put(s, "k"), PERSIST_OK);
    assert_int_equal(run("ln data/lock x && cp x was"), 0);
    assert_int_equal(try_open(data, &second), PERSIST_LOCKED);
    assert_int_equal(run("cmp x was && test data/lock -ef x"), 0);
    assert_int_equal(persist_close(s, &error), PERSIST_OK);
    assert_int_equal(run("echo mine > x"), 0);
    assert_int_equal(persist_close(open_at(data), &error), PERSIST_OK);
    assert_int_equal(run("test $(cat x) = mine && ! test data/lock -ef x"), 0);
}

/* Files of another kind in the place of each one: an error, without waiting. */
static void only_regular_files_are_opened(void **state)
{
    (void)state;
    const os *sys = os_posix();
    os_dir *dir;
    os_file *file;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(name.sun_path, sizeof name.sun_path, "%s/socket", top);
    assert_int_equal(bind(s, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(run("mkfifo fifo && mkdir folder && ln -s x link && "
                         "echo > x && ln -s /dev/zero zero"),
                     0);
    assert_int_equal(sys->dir_open(sys, sys->cwd, top, &dir), 0);
    static const struct {
        const char *name;
        int code;
    } cases[] = {{"fifo", -EMEDIUMTYPE}, {"socket", -EMEDIUMTYPE},
                 {"folder", -EISDIR},    {"link", -ELOOP},
                 {"zero", -ELOOP},       {"../../../dev/zero", -EMEDIUMTYPE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int flags = OS_READ; flags <= (OS_READ | OS_WRITE | OS_CREATE);
             flags++) {
            if ((flags & (OS_READ | OS_WRITE)) == 0)
                continue;
            int code = sys->file_open(sys, dir, cases[i].name, flags, &file);
            if (code != cases[i].code)
                fail_msg("%s: %d", cases[i].name, code);
        }
    os_dir *none;
    assert_int_equal(sys->dir_open(sys, dir, "link", &none), -ELOOP);
    assert_int_equal(sys->dir_open(sys, dir, "x", &none), -ENOTDIR);
    sys->dir_close(sys, dir);
    close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(another_directory_is_never_written),
        WORLD(a_directory_that_is_gone_is_noticed),
        WORLD(a_directory_that_returns_is_the_same),
        WORLD(a_deleted_lock_yields_no_second_owner),
        WORLD(the_working_directory_may_change),
        WORLD(a_link_to_a_store_is_followed_and_watched),
        WORLD(a_full_segment_that_is_gone_is_noticed),
        WORLD(a_spare_segment_that_is_moved_is_noticed),
        WORLD(a_program_that_closes_all_is_told),
        WORLD(a_store_takes_no_standard_stream),
        WORLD(what_is_stored_is_private),
        WORLD(who_cannot_write_reads),
        WORLD(who_may_not_look_sees_no_damage),
        WORLD(hard_links_are_not_written_to),
        WORLD(a_linked_lock_has_one_owner),
        WORLD(only_regular_files_are_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

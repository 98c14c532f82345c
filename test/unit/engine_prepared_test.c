/* SPDX-License-Identifier: MIT */
/* What somebody has prepared: files with any number, manifests that say
 * anything under a right checksum. All of it is refused or harmless, ends no
 * process, is named by verify, and no foreign file is touched. */
#include "base/hash.h"
#include "fixture.h"

enum {
    SEGMENT = 4096,
    MEMTABLE = 2048,
    LIVES = 3,
    FIXED = 112, /* bytes of a manifest before its entries */
    NUMBERS_AT = 16,
    WORD = 8,
    EVENTS = 30
};

static fixture f;

/* Ends of the ways that numbers are counted and coded. */
static const uint64_t extremes[] = {
    0,
    1,
    2,
    UINT32_MAX / 2 - 1,
    UINT32_MAX,
    (uint64_t)1 << 32,
    (uint64_t)1 << 53,
    (uint64_t)1 << 62,
    COUNT_MAX - COUNT_LEFT,
    COUNT_MAX - COUNT_LEFT + 1,
    COUNT_MAX - 2,
    COUNT_MAX - 1,
    COUNT_MAX,
    COUNT_MAX + 1,
    UINT64_MAX - 1,
    UINT64_MAX,
};
enum { EXTREMES = sizeof extremes / sizeof *extremes };

static void begin(void)
{
    fixture_begin_tables(&f, MEMTABLE, 2);
    f.packed_max = 64;
    fixture_append_many(&f, "s", "event", EVENTS);
}

/* ---- files ------------------------------------------------------------ */

typedef struct noted {
    const char *path;
    unsigned remarks, damages;
} noted;

static bool note(void *context, const persist_finding *found)
{
    noted *n = context;
    n->damages += found->damage;
    n->remarks += !found->damage && found->path != NULL && n->path != NULL &&
                  strcmp(found->path, n->path) == 0;
    return true;
}

static persist_status verify(noted *n)
{
    const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                     .os = os_sim_os(f.sim)};
    const persist_watcher watcher = {PERSIST_WATCHER, n, note, NULL};
    persist_error error;
    return persist_verify(&options, &watcher, NULL, &error);
}

/* Lives with a file there: writes a table, a log and a blob each time. */
static void live_with(const char *path, slice bytes, bool kept)
{
    begin();
    fixture_kill(&f);
    fixture_patch(&f, path, 0, bytes);
    noted n = {.path = path};
    assert_int_equal(verify(&n), PERSIST_OK);
    assert_int_equal(n.damages, 0);
    if (kept)
        assert_int_equal(n.remarks, 1);
    for (int life = 0; life < LIVES; life++) {
        persist_cid cid;
        if (fixture_open(&f) != PERSIST_OK)
            fail_msg("%s, life %d: %s", path, life, f.error.message);
        fixture_append_many(&f, "s", "more", EVENTS);
        assert_int_equal(persist_blob_put(f.store, slice_str(path), cid, NULL),
                         PERSIST_OK);
        if (life == 1)
            fixture_kill(&f);
        else
            fixture_close(&f);
    }
    fixture_reopen(&f);
    assert_int_equal(fixture_info(&f, "s").mark, (LIVES + 1) * EVENTS);
    fixture_close(&f);
    buf now = {0};
    if (kept) {
        fixture_load(&f, path, &now);
        assert_true(slice_equal(buf_slice(&now), bytes));
    }
    buf_release(&now);
    fixture_end(&f);
}

static void a_number_without_counting_on_is_foreign(void **state)
{
    (void)state;
    static const char *const kinds[] = {"wal", "tables", "blobs"};
    static const char *const ends[] = {"log", "tbl", "pak"};
    static const slice bytes[] = {{NULL, 0}, {"not of a store", 14}};
    for (size_t kind = 0; kind < 3; kind++)
        for (size_t i = 4; i < EXTREMES; i++)
            for (size_t b = 0; b < 2; b++) {
                char path[64];
                snprintf(path, sizeof path, "store/%s/%016llx.%s", kinds[kind],
                         (unsigned long long)extremes[i], ends[kind]);
                bool kept = kind < 2 && extremes[i] > 2 * NUMBER_REACH;
                live_with(path, bytes[b], kept);
            }
}

static void other_names_are_left_alone(void **state)
{
    (void)state;
    static const char *const names[] = {
        "store/tmp/blob-7fffffffffffffff.x",
        "store/tmp/ffffffffffffffff",
        "store/wal/0000000000000000.log",
        "store/tables/x.tbl",
        "store/manifest.2",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        live_with(names[i], slice_str("foreign"), true);
}

/* ---- manifests -------------------------------------------------------- */

/* Writes a word of a manifest anew, and its checksum. */
static void forge(const char *path, size_t at, uint64_t word)
{
    buf bytes = {0}, sum = {0};
    fixture_load(&f, path, &bytes);
    assert_true(at + 2 * WORD <= bytes.size);
    for (unsigned i = 0; i < WORD; i++)
        bytes.data[at + i] = (uint8_t)(word >> 8 * i);
    bytes.size -= WORD;
    buf_put_u64(&sum, hash_xxh3(buf_slice(&bytes)));
    buf_put_slice(&bytes, buf_slice(&sum));
    assert_false(bytes.failed || sum.failed);
    fixture_patch(&f, path, 0, buf_slice(&bytes));
    buf_release(&bytes);
    buf_release(&sum);
}

static size_t size_of(const char *path)
{
    buf bytes = {0};
    fixture_load(&f, path, &bytes);
    size_t size = bytes.size;
    buf_release(&bytes);
    return size;
}

/* The newest of the two says something else in one word. */
static bool forge_newest(size_t at, uint64_t word)
{
    char path[32];
    persist_stats stats = fixture_stats(&f);
    assert_true(stats.tables > 0);
    manifest m[2];
    const os *sys = os_sim_os(f.sim);
    os_dir *dir;
    assert_int_equal(sys->dir_open(sys, sys->cwd, "store", &dir), 0);
    persist_status status = manifest_load(sys, dir, &m[0], &m[1], NULL);
    assert_int_equal(status, PERSIST_OK);
    snprintf(path, sizeof path, "store/manifest.%u",
             (unsigned)(m[0].generation % 2));
    manifest_release(&m[0]);
    manifest_release(&m[1]);
    sys->dir_close(sys, dir);
    fixture_kill(&f);
    if (at + 2 * WORD > size_of(path))
        return false;
    forge(path, at, word);
    return true;
}

/* Whether it opens or not: nobody is ended, and who refuses it names it. */
static void judge(size_t at, uint64_t word)
{
    noted n = {0};
    persist_status verified = verify(&n);
    persist_status opened = fixture_open(&f);
    bool told = verified != PERSIST_OK || n.damages > 0;
    /* openings that are used up are no damage */
    if (opened != PERSIST_OK && opened != PERSIST_LIMIT && !told)
        fail_msg("word %zu, %llx: %s, and verify says nothing", at,
                 (unsigned long long)word, f.error.message);
    if (opened != PERSIST_OK)
        return;
    /* Commits, tables and a close, or an error each. */
    for (int i = 0; i < 2 * EVENTS; i++)
        if (fixture_try(&f, PERSIST_APPEND, "t", "event", 0) == PERSIST_OK)
            (void)persist_wait_durable(f.store, persist_latest(f.store), NULL);
    (void)fixture_try(&f, PERSIST_TRUNCATE, "s", "", 20);
    persist_status closed = persist_close(f.store, NULL);
    f.store = NULL;
    if (fixture_open(&f) != PERSIST_OK && !told)
        fail_msg("word %zu, %llx: closed %d, then %s", at,
                 (unsigned long long)word, (int)closed, f.error.message);
}

static void a_forged_manifest_ends_no_process(void **state)
{
    (void)state;
    bool more = true;
    for (size_t at = NUMBERS_AT; more; at += WORD)
        for (size_t i = 0; i < EXTREMES && more; i++) {
            begin();
            more = forge_newest(at, extremes[i]);
            if (more)
                judge(at, extremes[i]);
            fixture_end(&f);
            assert_true(more || at >= FIXED);
        }
}

/* The numbers of a store are used up: it says so, and stays as it was. */
static void what_no_reader_would_take_is_not_stored(void **state)
{
    (void)state;
    enum { NEXT_TABLE_AT = 64 };
    begin();
    persist_stats stats = fixture_stats(&f);
    assert_true(stats.tables > 0);
    assert_true(forge_newest(NEXT_TABLE_AT, COUNT_MAX - COUNT_LEFT));
    fixture_reopen(&f);
    persist_status status = PERSIST_OK;
    for (int i = 0; i < 20 * EVENTS && status == PERSIST_OK; i++)
        status = fixture_try(&f, PERSIST_APPEND, "s", "an event", 0);
    assert_int_equal(status, PERSIST_LIMIT);
    assert_non_null(strstr(f.error.message, "numbers"));
    uint64_t last = fixture_info(&f, "s").mark;
    persist_close(f.store, NULL);
    f.store = NULL;
    fixture_reopen(&f);
    assert_int_equal(fixture_info(&f, "s").mark, last);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_without_counting_on_is_foreign),
        cmocka_unit_test(other_names_are_left_alone),
        cmocka_unit_test(a_forged_manifest_ends_no_process),
        cmocka_unit_test(what_no_reader_would_take_is_not_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Measures this engine, its peers and the machine's limits, in turns in one
 * run: engines [options] [W1 W2 ...]; --help says more. */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const engine *const engines[ENGINES] = {
    &engine_ours,       &engine_leveldb, &engine_rocksdb,
    &engine_lmdb,       &engine_sqlite,  &engine_sqlite_tuned,
    &engine_wiredtiger, &engine_tkrzw,   &engine_ours_packed,
    &engine_raw};

settings set = {.rounds = 5,
                .singles = 20000,
                .blobs = 200,
                .bulk = 1000000,
                .streams = 100,
                .per_commit = 1000,
                .many_streams = 1000000,
                .many_keys = 10000000,
                .seconds = 1,
                .threads = 16};

static const char help[] =
    "usage: engines [options] [W1 W2 ... Q3]   all if none is named\n"
    "  --dir DIR      where databases are put (data, beside the program)\n"
    "  --flush US     in a DIR in memory: as if a disk took so long to flush\n"
    "  --journaled D  a place with a journal: W1 is measured there too\n"
    "  --rounds N     how often each engine has its turn (5)\n"
    "  --events N     events of W2 and W6, keys of W4 (1000000)\n"
    "  --streams N    that the events go to (100)\n"
    "  --only NAME    this engine alone, such as ours; may be repeated\n"
    "  --quick        small and once: to see that all works\n"
    "  --many-peers   peers too with a million streams, ten million keys\n"
    "  --tsv FILE     write the table for report.py\n";

static const struct {
    const char *workloads; /* separated by blanks */
    void (*work)(const engine *);
    int times; /* the rounds, this often; 0: one round */
} groups[] = {
    {"raw", work_limits, 1},  {"W1", work_single, 3},
    {"W1", work_journal, 2},  {"W2 W3 W3b W3c W3d W7 W10", work_bulk, 1},
    {"W4 W10", work_keys, 1}, {"W5", work_threads, 1},
    {"W5b", work_window, 1},  {"W6", work_crash, 1},
    {"W8", work_blobs, 1},    {"W9", work_host, 0},
    {"W10", work_many, 0},    {"Q1 Q2 Q3", work_tags, 1},
};

enum { GROUPS = sizeof groups / sizeof *groups, CHOSEN_MAX = 32 };

static const char *chosen[CHOSEN_MAX], *only[CHOSEN_MAX], *tsv;
static int chosen_count, only_count;

bool wanted(const char *workload)
{
    bool found = chosen_count == 0;
    for (int i = 0; i < chosen_count; i++)
        found = found || strcmp(chosen[i], workload) == 0;
    return found;
}

bool engine_present(const engine *e)
{
    return e->open != NULL;
}

static bool engine_wanted(const engine *e)
{
    bool found = only_count == 0;
    for (int i = 0; i < only_count; i++)
        found = found || strcmp(only[i], e->name) == 0;
    return found && engine_present(e);
}

void cell_init(cell *c, const engine *e, char path[PATH_SIZE])
{
    int n = snprintf(path, PATH_SIZE, "%s/%s", set.dir, e->name);
    must(n > 0 && n < PATH_SIZE, set.dir, "too long");
    remove_dir(path);
    *c = (cell){.engine = e, .dir = path};
}

static bool group_wanted(int group)
{
    char copy[64], *rest = copy, *name;
    if (groups[group].work == work_journal && set.journaled == NULL)
        return false;
    snprintf(copy, sizeof copy, "%s", groups[group].workloads);
    while ((name = strsep(&rest, " ")) != NULL)
        if (wanted(name))
            return true;
    return false;
}

static bool takes_part(const engine *e, int group)
{
    void (*work)(const engine *) = groups[group].work;
    bool loads =
        work == work_single || work == work_journal || work == work_keys;
    if (e->packs || e->few)
        return work == work_bulk || (e->few && loads);
    return true;
}

/* Each round begins with another engine. */
static void run_group(int group)
{
    int times = groups[group].times;
    int rounds = times == 0 ? 1 : times * set.rounds;
    double start = now_s();
    if (!group_wanted(group))
        return;
    for (int round = 0; round < rounds; round++) {
        fprintf(stderr, "%s, round %d of %d\n", groups[group].workloads,
                round + 1, rounds);
        for (int i = 0; i < ENGINES; i++) {
            const engine *e = engines[(i + round) % ENGINES];
            if (engine_wanted(e) && takes_part(e, group))
                groups[group].work(e);
        }
    }
    fprintf(stderr, "%s took %.0f s\n", groups[group].workloads,
            now_s() - start);
}

static void make_small(void)
{
    set.rounds = 1;
    set.singles = 200;
    set.blobs = 40;
    set.bulk = 100000;
    set.many_streams = 10000;
    set.many_keys = 100000;
    set.seconds = 0.2;
}

static _Noreturn void usage(int status)
{
    fputs(help, status == 0 ? stdout : stderr);
    exit(status);
}

static void add(const char **list, int *count, const char *text)
{
    if (*count == CHOSEN_MAX)
        usage(2);
    list[(*count)++] = text;
}

static const char *value_of(int argc, char **argv, int *i)
{
    if (*i + 1 >= argc)
        usage(2);
    return argv[++*i];
}

static const char *usual_dir(void)
{
    static char dir[PATH_SIZE];
    const char *slash = strrchr(set.program, '/');
    int size = slash == NULL ? 0 : (int)(slash - set.program) + 1;
    int n = snprintf(dir, sizeof dir, "%.*sdata", size, set.program);
    must(n > 0 && n < PATH_SIZE, set.program, "too long");
    return dir;
}

static void parse(int argc, char **argv)
{
    set.program = argv[0];
    set.dir = usual_dir();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            usage(0);
        else if (strcmp(argv[i], "--dir") == 0)
            set.dir = value_of(argc, argv, &i);
        else if (strcmp(argv[i], "--flush") == 0)
            set.flush_us =
                (unsigned)strtoul(value_of(argc, argv, &i), NULL, 10);
        else if (strcmp(argv[i], "--journaled") == 0)
            set.journaled = value_of(argc, argv, &i);
        else if (strcmp(argv[i], "--rounds") == 0)
            set.rounds = (int)strtol(value_of(argc, argv, &i), NULL, 10);
        else if (strcmp(argv[i], "--events") == 0)
            set.bulk = strtoull(value_of(argc, argv, &i), NULL, 10);
        else if (strcmp(argv[i], "--streams") == 0)
            set.streams = strtoull(value_of(argc, argv, &i), NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            add(only, &only_count, value_of(argc, argv, &i));
        else if (strcmp(argv[i], "--tsv") == 0)
            tsv = value_of(argc, argv, &i);
        else if (strcmp(argv[i], "--quick") == 0)
            make_small();
        else if (strcmp(argv[i], "--many-peers") == 0)
            set.many_peers = true;
        else if (argv[i][0] == 'W' || argv[i][0] == 'Q')
            add(chosen, &chosen_count, argv[i]);
        else
            usage(2);
    }
    if (set.rounds < 1 || set.rounds > ROUNDS_MAX / 3 || set.bulk == 0 ||
        set.streams < 50 || set.bulk % set.per_commit != 0 ||
        set.bulk % set.streams != 0 || set.bulk / set.streams < 10)
        usage(2);
}

int main(int argc, char **argv)
{
    char about[128];
    parse(argc, argv);
    must(mkdir(set.dir, 0777) == 0 || errno == EEXIST, set.dir, NULL);
    slow_disk_begin(set.flush_us);
    for (int i = 0; i < ENGINES; i++)
        if (!engine_present(engines[i]))
            fprintf(stderr, "%s is not on this system\n", engines[i]->name);
    double start = now_s();
    for (int group = 0; group < GROUPS; group++)
        run_group(group);
    figures_print();
    printf("medians of %d rounds, in %.0f s\n", set.rounds, now_s() - start);
    snprintf(about, sizeof about, "%d\t%llu\t%llu\t%llu", set.rounds,
             (unsigned long long)set.bulk, (unsigned long long)set.many_streams,
             (unsigned long long)set.many_keys);
    if (tsv != NULL)
        figures_write(tsv, about);
    (void)rmdir(set.dir);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* What was measured: medians over the rounds, the best peer, ratios, goals. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *work, *what, *unit;
    int digits;
    bool higher; /* is better */
} figures[FIGURE_COUNT] = {
#define FIGURE_ROW(name, work, what, unit, digits, higher)                     \
    {work, what, unit, digits, higher},
    FIGURES(FIGURE_ROW)
#undef FIGURE_ROW
};

/* A goal is a ratio, above 1 being ahead: to the best peer, to the better of
 * LevelDB and RocksDB, to the machine's limit, to another figure of our own;
 * or it is a value to reach, or there is none. */
typedef enum against { PEERS, LSM, LIMIT, OWN, VALUE, STATED } against;

static const struct {
    figure figure;
    against against;
    double goal;
} rows[] = {
    {F_W1, LIMIT, 1 / 1.1},
    {F_W1, PEERS, 1},
    {F_W1_JOURNAL, PEERS, 1},
    {F_W1_JOURNAL, LSM, 2},
    {F_W2, PEERS, 2.5},
    {F_W2_PACKED, STATED, 0},
    {F_W3, PEERS, 1.5},
    {F_W3_PACKED, STATED, 0},
    {F_W3B, PEERS, 1},
    {F_W3B_TWO, STATED, 0},
    {F_W3B1, PEERS, 1},
    {F_W3C, PEERS, 1},
    {F_W3C_DISK, PEERS, 1},
    {F_W3D, VALUE, 1},
    {F_W4, LIMIT, 1 / 1.1},
    {F_W4_PUTS, PEERS, 2},
    {F_W4_GETS, PEERS, 1.5},
    {F_W4_SCAN, PEERS, 1},
    {F_W5, PEERS, 2},
    {F_W5_SLOWEST, VALUE, 0.5},
    {F_W5B, VALUE, 1000},
    {F_W6, VALUE, 20},
    {F_W7_WRITTEN, VALUE, 2},
    {F_W7_KEPT, STATED, 0},
    {F_W7_WRITTEN_PACKED, VALUE, 2},
    {F_W7_KEPT_PACKED, VALUE, 0.6},
    {F_W8_SMALL, PEERS, 1.3},
    {F_W8_BIG, PEERS, 1.3},
    {F_W8_AGAIN, LIMIT, 0.9},
    {F_W9_APPEND, VALUE, 300},
    {F_W9_READ, VALUE, 1000},
    {F_W10_W2, VALUE, 64},
    {F_W10_W4, VALUE, 64},
    {F_W10_MANY, VALUE, 64},
    {F_Q1, OWN, 0.7},
    {F_Q1, PEERS, 1},
    {F_Q2, VALUE, 300},
    {F_Q2, PEERS, 5},
    {F_Q2_TWO, VALUE, 100},
    {F_Q2_TWO, PEERS, 5},
    {F_Q3, OWN, 0.8},
    {F_Q3, PEERS, 1},
    {F_Q3_KNOWN, OWN, 0.8},
};

enum { ROWS = sizeof rows / sizeof *rows };

static double samples[FIGURE_COUNT][ENGINES][ROUNDS_MAX];
static int counts[FIGURE_COUNT][ENGINES];

static int index_of(const engine *e)
{
    int i = 0;
    while (engines[i] != e)
        i++;
    return i;
}

void figure_add(figure f, const engine *e, double value)
{
    int i = index_of(e);
    must(counts[f][i] < ROUNDS_MAX, "figures", "too many rounds");
    samples[f][i][counts[f][i]++] = value;
    fprintf(stderr, "  %-13s %-44s %12.*f %s\n", e->name, figures[f].what,
            figures[f].digits, value, figures[f].unit);
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* NAN if it was not measured. */
static double median(figure f, int e)
{
    double sorted[ROUNDS_MAX];
    int n = counts[f][e];
    if (n == 0)
        return NAN;
    memcpy(sorted, samples[f][e], sizeof sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static bool better(figure f, double a, double b)
{
    return figures[f].higher ? a > b : a < b;
}

/* The peers that were measured, best first. */
static int peers_of(figure f, int out[ENGINES])
{
    int n = 0;
    for (int e = OURS + 1; e < RAW; e++) {
        if (isnan(median(f, e)))
            continue;
        int at = n++;
        for (; at > 0 && better(f, median(f, e), median(f, out[at - 1])); at--)
            out[at] = out[at - 1];
        out[at] = e;
    }
    return n;
}

/* How far ours is ahead of another value: above 1 is ahead. */
static double ahead(figure f, double other)
{
    double ours = median(f, OURS);
    return figures[f].higher ? ours / other : other / ours;
}

/* The peer that a row's ratio is to; ENGINES if none was measured. */
static int row_peer(int row)
{
    int peers[ENGINES];
    int n = peers_of(rows[row].figure, peers);
    for (int i = 0; i < n; i++)
        if (rows[row].against != LSM || engines[peers[i]] == &engine_leveldb ||
            engines[peers[i]] == &engine_rocksdb)
            return peers[i];
    return ENGINES;
}

/* What a row's OWN goal is to: the same work without tags. */
static figure own_of(figure f)
{
    return f == F_Q1 ? F_W2 : F_W5;
}

static double row_ratio(int row)
{
    figure f = rows[row].figure;
    int peer = row_peer(row);
    if (rows[row].against == LIMIT)
        return ahead(f, median(f, RAW));
    if (rows[row].against == OWN)
        return ahead(f, median(own_of(f), OURS));
    return peer == ENGINES ? NAN : ahead(f, median(f, peer));
}

static const char *row_verdict(int row)
{
    bool value = rows[row].against == VALUE;
    if (rows[row].against == STATED || (!value && isnan(row_ratio(row))))
        return "-";
    bool reached = value ? ahead(rows[row].figure, rows[row].goal) >= 1
                         : row_ratio(row) >= rows[row].goal;
    return reached ? "reached" : "behind";
}

/* The goal as a ratio to what the row's ratio is to; NAN if to nothing. */
static double goal_ratio(int row)
{
    figure f = rows[row].figure;
    int peer = row_peer(row);
    if (rows[row].against < VALUE)
        return rows[row].goal;
    if (rows[row].against == STATED || peer == ENGINES)
        return NAN;
    return figures[f].higher ? rows[row].goal / median(f, peer)
                             : median(f, peer) / rows[row].goal;
}

static void goal_text(int row, char out[64])
{
    figure f = rows[row].figure;
    if (rows[row].against == PEERS)
        snprintf(out, 64, "%.1fx best peer", rows[row].goal);
    else if (rows[row].against == LSM)
        snprintf(out, 64, "%.1fx LSM", rows[row].goal);
    else if (rows[row].against == LIMIT)
        snprintf(out, 64, "%.2fx raw", rows[row].goal);
    else if (rows[row].against == OWN)
        snprintf(out, 64, "%.1fx own %s", rows[row].goal,
                 figures[own_of(f)].work);
    else if (rows[row].against == STATED)
        snprintf(out, 64, "-");
    else
        snprintf(out, 64, "%s %g %s", figures[f].higher ? "from" : "to",
                 rows[row].goal, figures[f].unit);
}

static void value_text(double value, int digits, char out[32])
{
    if (isnan(value))
        snprintf(out, 32, "-");
    else
        snprintf(out, 32, "%.*f", digits, value);
}

static bool row_measured(int row)
{
    return !isnan(median(rows[row].figure, OURS));
}

static void print_row(int row)
{
    char ours[32], peer[32] = "-", limit[32], ratio[32], goal[64];
    const char *name = "";
    figure f = rows[row].figure;
    int digits = figures[f].digits, best = row_peer(row);
    if (best != ENGINES) {
        value_text(median(f, best), digits, peer);
        name = engines[best]->name;
    }
    value_text(median(f, OURS), digits, ours);
    value_text(median(f, RAW), digits, limit);
    value_text(row_ratio(row), 2, ratio);
    goal_text(row, goal);
    printf("%-4s %-41s %-4s %9s %9s %-12s %9s %6s  %-14s %s\n", figures[f].work,
           figures[f].what, figures[f].unit, ours, peer, name, limit, ratio,
           goal, row_verdict(row));
}

static bool is_limit(int f)
{
    return strcmp(figures[f].work, "raw") == 0 && counts[f][RAW] > 0;
}

void figures_print(void)
{
    printf("\n%-4s %-41s %-4s %9s %9s %-12s %9s %6s  %-14s\n", "", "", "",
           "ours", "best peer", "", "raw", "ratio", "goal");
    for (int row = 0; row < ROWS; row++)
        if (row_measured(row))
            print_row(row);
    for (int f = 0; f < FIGURE_COUNT; f++)
        if (is_limit(f))
            printf("the machine: %s %.*f %s\n", figures[f].what,
                   figures[f].digits, median((figure)f, RAW), figures[f].unit);
}

static void write_row(FILE *out, int row)
{
    char ours[32], limit[32], ratio[32], goal[64];
    int peers[ENGINES];
    figure f = rows[row].figure;
    int n = peers_of(f, peers);
    value_text(median(f, OURS), figures[f].digits, ours);
    value_text(median(f, RAW), figures[f].digits, limit);
    value_text(row_ratio(row), 3, ratio);
    goal_text(row, goal);
    fprintf(out, "row\t%s\t%s\t%s\t%s\t%s\t%s\t%.3f\t%s\t%s\t", figures[f].work,
            figures[f].what, figures[f].unit, ours, limit, ratio,
            goal_ratio(row), goal, row_verdict(row));
    for (int i = 0; i < n; i++)
        fprintf(out, "%s%s %.*f", i == 0 ? "" : ", ", engines[peers[i]]->name,
                figures[f].digits, median(f, peers[i]));
    fputc('\n', out);
}

void figures_write(const char *path, const char *about)
{
    FILE *out = fopen(path, "w");
    must(out != NULL, path, NULL);
    fprintf(out, "about\t%s\n", about);
    for (int row = 0; row < ROWS; row++)
        if (row_measured(row))
            write_row(out, row);
    for (int f = 0; f < FIGURE_COUNT; f++)
        if (is_limit(f))
            fprintf(out, "limit\t%s\t%.*f\t%s\n", figures[f].what,
                    figures[f].digits, median((figure)f, RAW), figures[f].unit);
    must(fclose(out) == 0, path, NULL);
}

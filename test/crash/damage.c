/* SPDX-License-Identifier: MIT */
/* Damage: every bit of every file of small stores flipped, files cut at every
 * length, sectors zeroed, swapped, copied, files and folders gone or older.
 *
 * The damages are taken in an order that the seed begins: with enough time all
 * of them are done. --replay N does the one of that number. */
#include <stdio.h>
#include <stdlib.h>

#include "../lib/clock.h"
#include "../lib/damage.h"
#include "base/check.h"

enum { VIOLATIONS_MAX = 3, WORD_MAX = 64 };

/* Steps of this share of the whole spread evenly. */
#define GOLDEN 0.6180339887

static target targets[SHAPES];
static damage_figures figures;
static arguments args;
static buf report;

static uint64_t total(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < SHAPES; i++)
        sum += targets[i].damage_count;
    return sum;
}

static void run(uint64_t number)
{
    static char word[WORD_MAX];
    uint64_t index = number;
    size_t i = 0;
    snprintf(word, sizeof word, "damage --replay %llu",
             (unsigned long long)number);
    last_word(word);
    while (index >= targets[i].damage_count)
        index -= targets[i++].damage_count;
    buf_clear(&report);
    if (!damage_judge(&targets[i], &targets[i].damages[index], &figures,
                      &report))
        printf("VIOLATION %.*sreplay: %s\n", (int)report.size,
               (const char *)report.data, word);
}

static bool has_common_factor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a != 1;
}

static bool goes_on(void)
{
    uint64_t most = args.first ? 1 : VIOLATIONS_MAX;
    return figures.violations < most && seconds() < args.budget;
}

/* Whole files and folders are few: all of them, each time. */
static bool is_rare(uint64_t number)
{
    size_t i = 0;
    while (number >= targets[i].damage_count)
        number -= targets[i++].damage_count;
    return targets[i].damages[number].kind >= DAMAGE_DELETE;
}

/* Then all others, in an order that mixes shapes and kinds. */
static uint64_t run_some(uint64_t all)
{
    uint64_t random = args.seed, done = 0;
    CHECK(all > 0);
    for (uint64_t i = 0; i < all && goes_on(); i++)
        if (is_rare(i)) {
            run(i);
            done++;
        }
    uint64_t at = sim_random(&random) % all,
             step = (uint64_t)((double)all * GOLDEN);
    while (has_common_factor(all, step))
        step++;
    for (uint64_t i = 0; i < all && goes_on(); i++) {
        if (!is_rare(at)) {
            run(at);
            done++;
        }
        at = (at + step) % all;
    }
    return done;
}

static void print_figures(uint64_t done, uint64_t all)
{
    uint64_t tried = 0;
    for (int i = 0; i < DAMAGE_KINDS; i++) {
        printf("%s%llu %s", i == 0 ? "figure: " : ", ",
               (unsigned long long)figures.tried[i],
               damage_name((damage_kind)i));
        tried += figures.tried[i];
    }
    printf("\nfigure: %llu of %llu places of %d stores (%llu damages): "
           "%llu refused, %llu with reads that fail, %llu found by verify "
           "alone, %llu opened as before the last batch, %llu harmless; "
           "violations %llu; %.0f s\n",
           (unsigned long long)done, (unsigned long long)all, SHAPES,
           (unsigned long long)tried, (unsigned long long)figures.refused,
           (unsigned long long)figures.failed,
           (unsigned long long)figures.found,
           (unsigned long long)figures.earlier,
           (unsigned long long)figures.harmless,
           (unsigned long long)figures.violations, seconds());
}

int main(int argc, char **argv)
{
    args = arguments_read(argc, argv, 30);
    for (size_t i = 0; i < SHAPES; i++)
        target_make(&targets[i], (uint16_t)i);
    uint64_t all = total(), done = 1;
    if (args.replay != NULL)
        run(strtoull(args.replay, NULL, 10) % all);
    else
        done = run_some(all);
    buf_clear(&report);
    for (int i = 0; i < SHAPES; i++)
        if (!damage_check_places(&targets[i], &report)) {
            printf("VIOLATION %.*s", (int)report.size,
                   (const char *)report.data);
            figures.violations++;
        }
    print_figures(done, all);
    for (int i = 0; i < SHAPES; i++)
        target_release(&targets[i]);
    buf_release(&report);
    return verdict(done, figures.violations);
}

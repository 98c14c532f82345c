/* SPDX-License-Identifier: MIT */
/* Times on the command line: as RFC 3339 has them, or so long ago. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "cli/cli.h"
#include "os/os.h"

enum { TEXT_MAX = 64, MONTHS = 12 };

/* The days count from the first of March, so that leap days come last. */
void cli_put_time(buf *out, uint64_t us)
{
    uint64_t seconds = us / 1000000, days = seconds / 86400 + 719468;
    uint64_t era = days / 146097, day = days % 146097;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= year * 365 + year / 4 - year / 100;
    uint64_t month = (5 * day + 2) / 153;
    uint64_t date = day - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    year += era * 400 + (month <= 2 ? 1 : 0);
    if (us == 0) {
        buf_put_str(out, "-");
        return;
    }
    buf_printf(out, "%04" PRIu64 "-%02" PRIu64 "-%02" PRIu64 "T", year, month,
               date);
    buf_printf(out, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%06" PRIu64 "Z",
               seconds / 3600 % 24, seconds / 60 % 60, seconds % 60,
               us % 1000000);
}

/* ---- reading --------------------------------------------------------------
 */

/* Takes so many digits, and then the character that stands behind them. */
static bool take(const char **at, int digits, char behind, uint64_t *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++, ++*at) {
        if (**at < '0' || **at > '9')
            return false;
        *out = *out * 10 + (uint64_t)(**at - '0');
    }
    if (behind == '\0')
        return true;
    return *(*at)++ == behind;
}

static uint64_t days_of(uint64_t year, uint64_t month, uint64_t day)
{
    CHECK(month > 0 && month <= MONTHS);
    year -= month <= 2;
    uint64_t of_era = year % 400,
             from_march = month > 2 ? month - 3 : month + 9;
    return year / 400 * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
           (153 * from_march + 2) / 5 + day - 1 - 719468;
}

/* Up to six digits of a second. */
static uint64_t take_fraction(const char **at)
{
    CHECK(at != NULL && *at != NULL);
    uint64_t us = 0, unit = 100000;
    if (**at != '.')
        return 0;
    for (++*at; **at >= '0' && **at <= '9'; ++*at, unit /= 10)
        us += (uint64_t)(**at - '0') * unit;
    return us;
}

/* Z, or how far the clock there is ahead, or behind. */
static bool take_zone(const char *at, int64_t *seconds)
{
    uint64_t hours, minutes;
    char sign = *at++;
    *seconds = 0;
    if (sign == 'Z')
        return *at == '\0';
    if ((sign != '+' && sign != '-') || !take(&at, 2, ':', &hours) ||
        !take(&at, 2, '\0', &minutes) || *at != '\0' || hours > 23 ||
        minutes > 59)
        return false;
    *seconds = (int64_t)(hours * 3600 + minutes * 60);
    if (sign == '-')
        *seconds = -*seconds;
    return true;
}

static bool parse_date(const char *text, uint64_t *us)
{
    uint64_t year, month, day, hour, minute, second;
    int64_t zone;
    if (!take(&text, 4, '-', &year) || !take(&text, 2, '-', &month) ||
        !take(&text, 2, 'T', &day) || !take(&text, 2, ':', &hour) ||
        !take(&text, 2, ':', &minute) || !take(&text, 2, '\0', &second))
        return false;
    if (year < 1971 || month < 1 || month > MONTHS || day < 1 || day > 31 ||
        hour > 23 || minute > 59 || second > 60)
        return false;
    uint64_t fraction = take_fraction(&text);
    if (!take_zone(text, &zone))
        return false;
    uint64_t seconds =
        days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *us = (uint64_t)((int64_t)seconds - zone) * 1000000 + fraction;
    return true;
}

bool cli_parse_when(const char *text, uint64_t *us)
{
    static const char ago[] = " ago";
    char span[TEXT_MAX];
    uint64_t ms;
    const os *sys = os_posix();
    size_t size = strlen(text), behind = strlen(ago);
    if (size <= behind || size >= sizeof span ||
        strcmp(text + size - behind, ago) != 0)
        return parse_date(text, us);
    memcpy(span, text, size - behind);
    span[size - behind] = '\0';
    if (!cli_parse_span(span, &ms))
        return false;
    uint64_t now = sys->wall_us(sys);
    *us = ms < now / 1000 ? now - ms * 1000 : 0;
    return true;
}

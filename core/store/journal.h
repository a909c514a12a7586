/*
 * journal.h - an append-only file of records that survives kill -9 and power loss
 *
 * A line that names the format, then records {magic, bytes of payload, CRC-32 of both that number
 * and the payload, payload}, the numbers uint32 in the machine's order.  A record is one write and
 * on the disk when journal_append returns.  Reading stops at the first record that is not whole;
 * what stands before it is kept.
 */
#ifndef CORE_STORE_JOURNAL_H
#define CORE_STORE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *path;
    int fd;                         /* -1: there is no file yet                                    */
    int64_t length;                 /* bytes of whole records; the next one is written here        */
} Journal;

/* Called for each whole record in order; another code than OK stops and is passed on. */
typedef int (*JournalVisit)(void *context, const uint8_t *payload, size_t n);

/* Reads without changing anything.  *length: as in Journal; 0 where there is no file.  ERR_FORMAT
 * where the file is something else. */
int journal_read(const char *path, JournalVisit visit, void *context, int64_t *length);

/* Reads, and cuts off a torn tail.  The file is created by the first append. */
int journal_open(Journal *out, const char *path, JournalVisit visit, void *context);

/* On failure the journal is as it was before. */
int  journal_append(Journal *journal, const void *payload, size_t n);
int  journal_remove(Journal *journal);          /* once its records are safe elsewhere; it can be appended to again */
void journal_close(Journal *journal);           /* leaves the file */

#endif

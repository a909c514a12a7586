#include "core/store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/err.h"
#include "core/store/durable.h"

static const char first_line[] = "linearity journal 1\n";
enum { FIRST_LINE = sizeof first_line - 1, RECORD_MAGIC = 0x5244524c };

typedef struct { uint32_t magic, n_bytes, crc; } RecordHeader;

static uint32_t record_crc(uint32_t n_bytes, const uint8_t *payload)
{
    uLong crc = crc32(0, (const Bytef *)&n_bytes, sizeof n_bytes);
    return (uint32_t)crc32_z(crc, payload, n_bytes);
}

/* The bytes of the record at data, 0 where it is not whole. */
static size_t record_size(const uint8_t *data, size_t n)
{
    RecordHeader header;
    if (n < sizeof header) return 0;
    memcpy(&header, data, sizeof header);
    if (header.magic != RECORD_MAGIC || header.n_bytes > n - sizeof header) return 0;
    if (header.crc != record_crc(header.n_bytes, data + sizeof header)) return 0;
    return sizeof header + header.n_bytes;
}

static int visit_records(const uint8_t *data, size_t n, JournalVisit visit, void *context, int64_t *length)
{
    size_t at = FIRST_LINE, size;
    while ((size = record_size(data + at, n - at)) > 0) {
        TRY(visit(context, data + at + sizeof(RecordHeader), size - sizeof(RecordHeader)));
        at += size;
    }
    *length = (int64_t)at;
    return OK;
}

int journal_read(const char *path, JournalVisit visit, void *context, int64_t *length)
{
    uint8_t *data;
    size_t n;
    *length = 0;
    TRY(durable_read(&data, &n, path));
    int status = OK;
    size_t compared = n < FIRST_LINE ? n : FIRST_LINE;      /* the first append may have been torn within the line */
    if (n > 0 && memcmp(data, first_line, compared) != 0)
        status = err_set(ERR_FORMAT, "%s: not a journal that this version of linearity reads; move it away", path);
    else if (n >= FIRST_LINE)
        status = visit_records(data, n, visit, context, length);
    free(data);
    return status;
}

int journal_open(Journal *out, const char *path, JournalVisit visit, void *context)
{
    int64_t length;
    TRY(journal_read(path, visit, context, &length));
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) FAIL(ERR_FILE, "%s: cannot be written (%s)", path, strerror(errno));
    if (fd >= 0 && (ftruncate(fd, length) != 0 || fdatasync(fd) != 0)) {
        int reason = errno;
        close(fd);
        FAIL(ERR_FILE, "%s: its torn end cannot be cut off (%s)", path, strerror(reason));
    }
    *out = (Journal){ xstrdup(path), fd, length };
    return OK;
}

static int create(Journal *journal)
{
    int fd = open(journal->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) FAIL(ERR_FILE, "%s: cannot be created (%s)", journal->path, strerror(errno));
    journal->fd = fd;
    journal->length = 0;
    return durable_folder(journal->path);
}

static int write_and_flush(Journal *journal, const uint8_t *data, size_t n)
{
    TRY(durable_write(journal->fd, journal->path, data, n, journal->length));
    if (fdatasync(journal->fd) != 0) FAIL(ERR_FILE, "%s: cannot be flushed to disk (%s)", journal->path, strerror(errno));
    return OK;
}

int journal_append(Journal *journal, const void *payload, size_t n)
{
    if (n > UINT32_MAX) FAIL(ERR_UNSUPPORTED, "%s: a record of %zu bytes is too long", journal->path, n);
    if (journal->fd < 0) TRY(create(journal));

    size_t line = journal->length == 0 ? FIRST_LINE : 0, size = line + sizeof(RecordHeader) + n;
    RecordHeader header = { RECORD_MAGIC, (uint32_t)n, record_crc((uint32_t)n, payload) };
    uint8_t *data = xmalloc(size);
    memcpy(data, first_line, line);
    memcpy(data + line, &header, sizeof header);
    memcpy(data + line + sizeof header, payload, n);
    int status = write_and_flush(journal, data, size);
    free(data);
    if (status == OK) journal->length += (int64_t)size;
    else (void)!ftruncate(journal->fd, journal->length);    /* if this fails too, the next append writes over it and the CRC tells */
    return status;
}

int journal_remove(Journal *journal)
{
    if (journal->fd < 0) return OK;
    if (unlink(journal->path) != 0 && errno != ENOENT)
        FAIL(ERR_FILE, "%s: cannot be removed (%s); its records are in the results file already", journal->path, strerror(errno));
    close(journal->fd);
    journal->fd = -1;
    journal->length = 0;
    return OK;
}

void journal_close(Journal *journal)
{
    if (journal->fd >= 0) close(journal->fd);
    free(journal->path);
    *journal = (Journal){ .fd = -1 };
}

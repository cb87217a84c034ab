// The WASI that a plugin in C gets: these functions take the place of libc's imports. What is printed goes to the
// log. There is no clock, no chance and no environment. Whatever else libc imports (files, sockets) is given to it by
// the adapter of sdk/go, in which there are none.

#include "internal.h"

enum { BAD_DESCRIPTOR = 8, NOT_IMPLEMENTED = 52 };

#define WASI(name) __imported_wasi_snapshot_preview1_##name

int32_t WASI(fd_prestat_get)(int32_t fd, int32_t out) {
    (void)fd, (void)out;
    return BAD_DESCRIPTOR; // there is no folder
}

int32_t WASI(fd_prestat_dir_name)(int32_t fd, int32_t path, int32_t length) {
    (void)fd, (void)path, (void)length;
    return BAD_DESCRIPTOR;
}

static struct {
    uint8_t text[1024];
    size_t used;
} lines[2]; // of stdout, and of stderr

static void end_line(int32_t fd) {
    ef_str line = {lines[fd - 1].text, lines[fd - 1].used};
    if (line.len) ef_write_log(fd == 1 ? EF_DEBUG : EF_ERROR, line);
    lines[fd - 1].used = 0;
}

int32_t WASI(fd_write)(int32_t fd, int32_t parts, int32_t count, int32_t written) {
    struct {
        uint8_t *bytes;
        size_t length;
    } *part = (void *)parts;
    if (fd < 1 || fd > 2) return BAD_DESCRIPTOR;
    size_t sum = 0;
    for (; count-- > 0; part++) {
        for (size_t i = 0; i < part->length; i++) {
            if (part->bytes[i] == '\n' || lines[fd - 1].used == sizeof lines[0].text) end_line(fd);
            if (part->bytes[i] != '\n') lines[fd - 1].text[lines[fd - 1].used++] = part->bytes[i];
        }
        sum += part->length;
    }
    *(size_t *)written = sum;
    return 0;
}

int32_t WASI(fd_close)(int32_t fd) {
    (void)fd;
    return 0;
}

int32_t WASI(fd_seek)(int32_t fd, int64_t offset, int32_t whence, int32_t out) {
    (void)fd, (void)offset, (void)whence, (void)out;
    return BAD_DESCRIPTOR;
}

int32_t WASI(fd_fdstat_get)(int32_t fd, int32_t out) {
    (void)fd, (void)out;
    return BAD_DESCRIPTOR;
}

int32_t WASI(environ_sizes_get)(int32_t count, int32_t bytes) {
    *(size_t *)count = 0;
    *(size_t *)bytes = 0;
    return 0;
}

int32_t WASI(environ_get)(int32_t variables, int32_t bytes) {
    (void)variables, (void)bytes;
    return 0;
}

int32_t WASI(clock_time_get)(int32_t clock, int64_t precision, int32_t out) {
    (void)clock, (void)precision, (void)out;
    return NOT_IMPLEMENTED; // take the time from the event
}

_Noreturn void WASI(proc_exit)(int32_t code) {
    (void)code;
    end_line(1);
    end_line(2);
    __builtin_trap();
}

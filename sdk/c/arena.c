// Memory that lives until the batch has ended.

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

#define BLOCK ((size_t)64 * 1024)
#define ALIGN alignof(max_align_t)

typedef struct block {
    struct block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char bytes[];
} block;

static block *blocks;

void *ef_alloc(size_t size) {
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (!blocks || blocks->size - blocks->used < size) {
        size_t room = size > BLOCK ? size : BLOCK;
        block *made = malloc(sizeof(block) + room);
        if (!made) {
            ef_write_log(EF_ERROR, ef_str_of("there is no memory left"));
            __builtin_trap();
        }
        made->next = blocks;
        made->used = 0;
        made->size = room;
        blocks = made;
    }
    void *memory = blocks->bytes + blocks->used;
    blocks->used += size;
    return memory;
}

void *ef_grown(void *memory, size_t old_size, size_t new_size) {
    if (new_size <= old_size) return memory;
    void *grown = ef_alloc(new_size);
    if (old_size) memcpy(grown, memory, old_size);
    return grown;
}

void ef_release(void) {
    while (blocks) {
        block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

ef_str ef_vformat(const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    ef_str text = {ef_alloc((size_t)length + 1), (size_t)length};
    vsnprintf((char *)text.ptr, text.len + 1, format, arguments);
    return text;
}

ef_str ef_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    ef_str text = ef_vformat(format, arguments);
    va_end(arguments);
    return text;
}

bool ef_str_equals(ef_str text, const char *other) {
    return text.len == strlen(other) && memcmp(text.ptr, other, text.len) == 0;
}

void ef_log(ef_level level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    ef_write_log(level, ef_vformat(format, arguments));
    va_end(arguments);
}

ef_str ef_config(const char *key) {
    ef_str value = {NULL, 0};
    if (!ef_read_config(ef_str_of(key), &value)) value.ptr = NULL;
    return value;
}

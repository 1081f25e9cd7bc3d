// Counts the bytes that malloc and its kin have given out, now and at most, for `dvm bench memory`. Loaded before the C
// library's own (LD_PRELOAD), so that nothing that allocates is missed: torch, its libraries, C++ code and the core.
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

static atomic_long live, peak;

static void* given(void* block) {
  if (block == NULL) return NULL;
  long bytes = (long)malloc_usable_size(block);
  long now = atomic_fetch_add(&live, bytes) + bytes;
  long most = atomic_load(&peak);
  while (now > most && !atomic_compare_exchange_weak(&peak, &most, now)) {
  }
  return block;
}

static void taken(void* block) {
  if (block != NULL) atomic_fetch_sub(&live, (long)malloc_usable_size(block));
}

void* malloc(size_t bytes) { return given(__libc_malloc(bytes)); }
void* calloc(size_t count, size_t bytes) { return given(__libc_calloc(count, bytes)); }
void* memalign(size_t alignment, size_t bytes) { return given(__libc_memalign(alignment, bytes)); }
void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void** result, size_t alignment, size_t bytes) {
  void* block = memalign(alignment, bytes);
  if (block == NULL) return ENOMEM;
  *result = block;
  return 0;
}

void* realloc(void* old, size_t bytes) {
  // While it moves, both are there.
  long before = old != NULL ? (long)malloc_usable_size(old) : 0;
  void* block = __libc_realloc(old, bytes);
  if (block != NULL || bytes == 0) {
    given(block);
    atomic_fetch_sub(&live, before);
  }
  return block;
}

void free(void* block) {
  taken(block);
  __libc_free(block);
}

long heap_live(void) { return atomic_load(&live); }
long heap_peak(void) { return atomic_load(&peak); }
void heap_forget_peak(void) { atomic_store(&peak, atomic_load(&live)); }

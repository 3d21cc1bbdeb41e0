// What libtorch's tensors do with memory: how long the C library keeps it, who else uses a tensor's, what a GPU may read by itself.

#include <ATen/ATen.h>

#include "guard.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

extern "C" {

// Blocks of any size come from the heap, and the heap is never trimmed. `mallopt` takes an int and may refuse: then it stays as it was.
void seedpipe_keep_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 2147483647);
  mallopt(M_TRIM_THRESHOLD, 2147483647);
#endif
}

// How many tensors use the memory of `tensor`, itself included.
unsigned long seedpipe_storage_users(void *tensor) {
  const auto *own = static_cast<at::Tensor *>(tensor);
  return own->storage().use_count() + own->use_count() - 1;
}

// `*result` receives a copy in memory that a GPU reads by itself, or the tensor if its memory is such. An error without a GPU.
char *seedpipe_pin_memory(void *tensor, void **result) {
  return guarded([&] { *result = new at::Tensor(static_cast<at::Tensor *>(tensor)->pin_memory()); });
}
}

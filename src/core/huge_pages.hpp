// Memory for tables that are read at random: on huge pages, where the kernel has them.
//
// A pilot that holds millions of tasks reads tables of hundreds of megabytes here and there; on pages of 4 KiB each read also
// misses the processor's table of pages, which costs as much as the memory itself. Small tables are as always: a page of
// 2 MiB would be wasted on them. The advice is a hint, so a kernel without huge pages loses nothing.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <vector>

namespace trireme {

template <typename T>
struct HugePageAllocator {
  using value_type = T;
  static constexpr std::size_t page = std::size_t{2} << 20;
  static constexpr std::size_t from_bytes = 4 * page;  ///< beyond this the last page wastes a quarter at most

  HugePageAllocator() = default;
  template <typename U>
  HugePageAllocator(const HugePageAllocator<U>&) {}  // NOLINT(google-explicit-constructor): allocators convert

  T* allocate(std::size_t n) {
    const std::size_t bytes = n * sizeof(T);
    if (bytes < from_bytes) return static_cast<T*>(::operator new (bytes, std::align_val_t{alignof(T)}));
    void* memory = ::operator new (bytes, std::align_val_t{page});
    static_cast<void>(madvise(memory, bytes, MADV_HUGEPAGE));
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t n) {
    const bool huge = n * sizeof(T) >= from_bytes;
    ::operator delete (memory, std::align_val_t{huge ? page : alignof(T)});
  }
  template <typename U>
  bool operator==(const HugePageAllocator<U>&) const {
    return true;
  }
};

template <typename T>
using HugePageVector = std::vector<T, HugePageAllocator<T>>;

}  // namespace trireme

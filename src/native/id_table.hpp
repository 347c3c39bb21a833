// Requests in progress by their number: a flat table, so that a request costs no allocation of its own.
//
// Open addressing with linear probing, at most half full. Numbers count up, and are spread: left as they are they would stand in
// one long row, and erasing, which moves later ones back instead of leaving a tombstone, looks at the rest of its row. Number 0
// is no request's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace trireme::frames {

template <typename T>
class IdTable {
 public:
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  /// Null where there is none. Valid until the next insert or take.
  T* find(std::uint64_t id) {
    if (size_ == 0) return nullptr;
    for (std::size_t i = home_of(id); slots_[i].id != 0; i = (i + 1) & mask()) {
      if (slots_[i].id == id) return &slots_[i].value;
    }
    return nullptr;
  }
  const T* find(std::uint64_t id) const { return const_cast<IdTable*>(this)->find(id); }

  /// The number is not in the table.
  T& insert(std::uint64_t id, T value) {
    if ((size_ + 1) * 2 > slots_.size()) grow();
    ++size_;
    return place(id, std::move(value));
  }

  /// Removes it and returns it; a T of no content where there is none.
  T take(std::uint64_t id) {
    T* const found = find(id);
    if (found == nullptr) return T{};
    T out = std::move(*found);
    std::size_t hole = home_of(id);
    while (slots_[hole].id != id) hole = (hole + 1) & mask();
    for (std::size_t i = (hole + 1) & mask(); slots_[i].id != 0; i = (i + 1) & mask()) {
      const std::size_t home = home_of(slots_[i].id);
      // It may move to the hole unless its home lies behind the hole.
      if (((i - home) & mask()) < ((i - hole) & mask())) continue;
      slots_[hole] = std::move(slots_[i]);
      hole = i;
    }
    slots_[hole] = Slot{};
    --size_;
    return out;
  }

  /// Any of them, while it is not empty; its number is not 0.
  std::uint64_t any() const {
    for (const Slot& slot : slots_) {
      if (slot.id != 0) return slot.id;
    }
    return 0;
  }

  /// Calls each(id, value) with all; they may be changed, and none may be added or taken meanwhile.
  template <typename Each>
  void for_each(Each&& each) {
    for (Slot& slot : slots_) {
      if (slot.id != 0) each(slot.id, slot.value);
    }
  }

 private:
  struct Slot {
    std::uint64_t id = 0;
    T value{};
  };
  std::size_t mask() const { return slots_.size() - 1; }
  std::size_t home_of(std::uint64_t id) const { return (id * 0x9e37'79b9'7f4a'7c15) >> 32 & mask(); }
  T& place(std::uint64_t id, T value) {
    std::size_t i = home_of(id);
    while (slots_[i].id != 0) i = (i + 1) & mask();
    slots_[i].id = id;
    slots_[i].value = std::move(value);
    return slots_[i].value;
  }
  void grow() {
    std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.empty() ? 64 : slots_.size() * 2));
    for (Slot& slot : old) {
      if (slot.id != 0) place(slot.id, std::move(slot.value));
    }
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

}  // namespace trireme::frames

// Binary archives for cereal that can be given bytes from anywhere.
//
// cereal's own binary input believes the sizes that it reads: a wrong one makes it allocate
// gigabytes, and a short input throws. Here every size is held against the bytes that are left,
// vectors grow as their elements are really there, a bool is 0 or 1, and nothing is thrown beyond
// read(). Numbers are in the machine's own byte order: what is written here is read by the same
// program on the same kind of machine (messages between ranks, records of the event log).
//
//   std::string bytes = archive::write(value);
//   Result<T> value = archive::read<T>(bytes);   // all of the bytes must be used
//
// Include this only in the few .cpp files that encode and decode.
#pragma once

#include <cereal/cereal.hpp>
#include <cereal/types/chrono.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/variant.hpp>
#include <cereal/types/vector.hpp>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/result.hpp"

namespace trireme::archive {

/// Appends to a string.
class Output : public cereal::OutputArchive<Output, cereal::AllowEmptyClassElision> {
 public:
  explicit Output(std::string& out) : OutputArchive(this), out_(out) {}
  void write(const void* data, std::size_t size) { out_.append(static_cast<const char*>(data), size); }

 private:
  std::string& out_;
};

/// Reads from bytes that it does not own. Throws cereal::Exception on bad input: go through read().
class BoundedInput : public cereal::InputArchive<BoundedInput, cereal::AllowEmptyClassElision> {
 public:
  explicit BoundedInput(std::string_view bytes) : InputArchive(this), bytes_(bytes) {}
  void read(void* data, std::size_t size) {
    if (size > bytes_.size()) throw cereal::Exception("the data end too early");
    if (size > 0) std::memcpy(data, bytes_.data(), size);
    bytes_.remove_prefix(size);
  }
  std::size_t remaining() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
};

template <typename T>
requires std::is_arithmetic_v<T>
void save(Output& archive, const T& value) {
  archive.write(&value, sizeof value);
}

template <typename T>
requires std::is_arithmetic_v<T>
void load(BoundedInput& archive, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    std::uint8_t byte = 0;
    archive.read(&byte, 1);
    if (byte > 1) throw cereal::Exception("a yes or no is neither");
    value = byte == 1;
  } else {
    archive.read(&value, sizeof value);
  }
}

template <typename T>
void save(Output& archive, const cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}
template <typename T>
void load(BoundedInput& archive, cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}

template <typename T>
void save(Output& archive, const cereal::SizeTag<T>& tag) {
  const std::uint64_t size = tag.size;
  archive.write(&size, sizeof size);
}
/// Every element of every container that is written here takes at least one byte, so more elements
/// than bytes is a lie.
template <typename T>
void load(BoundedInput& archive, cereal::SizeTag<T>& tag) {
  std::uint64_t size = 0;
  archive.read(&size, sizeof size);
  if (size > archive.remaining()) throw cereal::Exception("a size goes beyond the end of the data");
  tag.size = static_cast<std::remove_reference_t<T>>(size);
}

template <typename T>
void save(Output& archive, const cereal::BinaryData<T>& data) {
  archive.write(data.data, static_cast<std::size_t>(data.size));
}
template <typename T>
void load(BoundedInput& archive, cereal::BinaryData<T>& data) {
  archive.read(data.data, static_cast<std::size_t>(data.size));
}

/// cereal's own would make all elements at once: a small message could ask for a thousand times its
/// size.
template <typename T, typename A>
requires(!std::is_arithmetic_v<T>) void load(BoundedInput& archive, std::vector<T, A>& values) {
  cereal::size_type size = 0;
  archive(cereal::make_size_tag(size));
  values.clear();
  for (cereal::size_type i = 0; i < size; ++i) archive(values.emplace_back());
}

template <typename T>
void write_to(std::string& out, const T& value) {
  Output archive(out);
  archive(value);
}

template <typename T>
std::string write(const T& value) {
  std::string out;
  write_to(out, value);
  return out;
}

/// Fails, with the reason, unless `bytes` are exactly one T.
template <typename T>
Result<T> read(std::string_view bytes) {
  try {
    T value{};
    BoundedInput archive(bytes);
    archive(value);
    if (archive.remaining() > 0) {
      return Error{.what = "there are bytes after the end of the data", .where = {}, .hint = {}};
    }
    return value;
  } catch (const std::exception& error) {
    return Error{.what = error.what(), .where = {}, .hint = {}};
  }
}

}  // namespace trireme::archive

CEREAL_REGISTER_ARCHIVE(trireme::archive::Output)
CEREAL_REGISTER_ARCHIVE(trireme::archive::BoundedInput)
CEREAL_SETUP_ARCHIVE_TRAITS(trireme::archive::BoundedInput, trireme::archive::Output)

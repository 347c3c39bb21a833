// Values as bytes in cereal's binary format, and back from bytes that come from anywhere.
//
// cereal's own binary input believes the sizes that it reads: a wrong one makes it allocate
// gigabytes, and a short input throws. Here every size is held against the bytes that are left,
// vectors grow as their elements are really there, a bool is 0 or 1, and nothing is thrown beyond
// read(). Numbers are in the machine's own byte order: what is written here is read by the same
// program on the same kind of machine (messages between ranks, records of the event log).
//
// Writing needs no such care, and rank 0 does it several times for each task: so it goes without
// cereal, which makes five tables for each value that it writes, and a call for each field.
//
//   std::string bytes = archive::write(value);
//   Result<T> value = archive::read<T>(bytes);   // all of the bytes must be used
//
// Include this only in the few .cpp files that encode and decode.
#pragma once

#include <cereal/archives/binary.hpp>
#include <cereal/cereal.hpp>
#include <cereal/types/chrono.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/variant.hpp>
#include <cereal/types/vector.hpp>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "core/result.hpp"

namespace trireme::archive {

/// Appends to a string, which nobody else changes until the archive is gone. It knows the types that are sent and logged: one
/// that it does not is an error of the compiler. Most have many fields of a few bytes, so these are gathered first.
class Output {
 public:
  explicit Output(std::string& out) : out_(out) {}
  ~Output() { flush(); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  template <typename... Values>
  void operator()(const Values&... values) {
    (save(values), ...);
  }

 private:
  template <typename T>
  void save(const T& value) {
    if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
      write(&value, sizeof value);
    } else if constexpr (requires { value.save(*this); }) {
      value.save(*this);
    } else if constexpr (requires { const_cast<T&>(value).serialize(*this); }) {
      const_cast<T&>(value).serialize(*this);  // which changes nothing, but is for reading too
    } else {
      save_standard(value);
    }
  }
  void save_standard(const std::string& text) {
    save_size(text.size());
    write(text.data(), text.size());
  }
  template <typename T>
  void save_standard(const std::vector<T>& values) {
    save_size(values.size());
    for (const T& value : values) save(value);
  }
  template <typename Key, typename T>
  void save_standard(const std::map<Key, T>& values) {
    save_size(values.size());
    for (const auto& value : values) save_standard(value);
  }
  template <typename First, typename Second>
  void save_standard(const std::pair<First, Second>& pair) {
    save(pair.first);
    save(pair.second);
  }
  template <typename T>
  void save_standard(const std::optional<T>& value) {
    save(!value.has_value());
    if (value) save(*value);
  }
  template <typename... Ts>
  void save_standard(const std::variant<Ts...>& value) {
    save(static_cast<std::int32_t>(value.index()));
    std::visit([this](const auto& held) { save(held); }, value);
  }
  template <typename Count, typename Period>
  void save_standard(const std::chrono::duration<Count, Period>& duration) {
    save(duration.count());
  }
  void save_size(std::size_t size) { save(std::uint64_t{size}); }

  void write(const void* data, std::size_t size) {
    if (size > sizeof gathered_ - size_) return append(data, size);
    std::memcpy(gathered_ + size_, data, size);
    size_ += size;
  }
  void append(const void* data, std::size_t size) {
    flush();
    out_.append(static_cast<const char*>(data), size);
  }
  void flush() {
    if (size_ > 0) out_.append(gathered_, size_);
    size_ = 0;
  }

  std::string& out_;
  std::size_t size_ = 0;
  char gathered_[256];
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
void load(BoundedInput& archive, cereal::NameValuePair<T>& pair) {
  archive(pair.value);
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

CEREAL_REGISTER_ARCHIVE(trireme::archive::BoundedInput)
// cereal wants to know an archive of its own that writes what this one reads.
template <>
struct cereal::traits::detail::get_output_from_input<trireme::archive::BoundedInput> {
  using type = cereal::BinaryOutputArchive;
};

// The fields of a head, kept as the lines that they are on the wire.
//
// All of them lie in one piece of memory, "Name: value" CR LF after each other, with a list of where each begins. A parsed
// line is thus one copy, a written head another, and a request costs no string for each of its fields. A Header is a view
// into that memory: it is valid until the Headers change or end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::proxy::http {

struct Header {
  std::string_view name;  ///< as it was sent; compared without regard to case
  std::string_view value;
  bool operator==(const Header&) const = default;
};

class Headers {
 public:
  class Iterator;

  Headers() = default;
  Headers(std::initializer_list<Header> headers);

  std::size_t size() const { return places_.size(); }
  bool empty() const { return places_.empty(); }
  Iterator begin() const;
  Iterator end() const;
  void clear();
  /// Makes room for so many fields with so many bytes of lines.
  void reserve(std::size_t fields, std::size_t bytes);

  /// Copies it; it is no view into these Headers.
  void push_back(Header header);
  /// The same, from a line that is written just as it is kept: name, colon, one space, value, CR LF.
  void push_line(std::string_view line, std::size_t name_size);
  /// Removes those that `which` is true for.
  template <typename F>
  void erase_if(F&& which);

  /// All of them, each with its CR LF.
  std::string_view lines() const { return lines_; }
  bool operator==(const Headers&) const = default;

  template <typename Archive>
  void save(Archive& archive) const;
  template <typename Archive>
  void load(Archive& archive);

 private:
  static constexpr std::string_view colon = ": ";
  static constexpr std::string_view line_end = "\r\n";
  struct Place {
    std::uint32_t begin = 0;
    std::uint32_t name = 0;   ///< bytes
    std::uint32_t value = 0;  ///< bytes
    std::size_t size() const { return name + colon.size() + value + line_end.size(); }
    bool operator==(const Place&) const = default;
  };
  Header at(std::size_t index) const {
    const Place& place = places_[index];
    const char* const from = lines_.data() + place.begin;
    return {{from, place.name}, {from + place.name + colon.size(), place.value}};
  }

  std::string lines_;
  std::vector<Place> places_;
};

class Headers::Iterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = Header;
  using difference_type = std::ptrdiff_t;
  using pointer = void;
  using reference = Header;

  Header operator*() const { return headers_->at(index_); }
  Iterator& operator++() {
    ++index_;
    return *this;
  }
  Iterator operator++(int) { return {headers_, index_++}; }
  bool operator==(const Iterator&) const = default;

 private:
  friend class Headers;
  Iterator(const Headers* headers, std::size_t index) : headers_(headers), index_(index) {}
  const Headers* headers_;
  std::size_t index_;
};

inline Headers::Iterator Headers::begin() const {
  return {this, 0};
}
inline Headers::Iterator Headers::end() const {
  return {this, size()};
}

template <typename F>
void Headers::erase_if(F&& which) {
  std::size_t kept = 0;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (which(at(i))) continue;
    Place place = places_[i];
    // What stays moves to the front, to where all before it has been looked at already.
    if (place.begin != bytes) std::memmove(lines_.data() + bytes, lines_.data() + place.begin, place.size());
    place.begin = static_cast<std::uint32_t>(bytes);
    bytes += place.size();
    places_[kept++] = place;
  }
  places_.resize(kept);
  lines_.resize(bytes);
}

template <typename Archive>
void Headers::save(Archive& archive) const {
  archive(std::uint64_t{size()});
  for (const Header header : *this) archive(std::string(header.name), std::string(header.value));
}

template <typename Archive>
void Headers::load(Archive& archive) {
  clear();
  std::uint64_t count = 0;
  archive(count);
  std::string name;
  std::string value;
  for (; count > 0; --count) {
    archive(name, value);
    push_back({name, value});
  }
}

/// The first value of a header, or nothing.
std::optional<std::string_view> find(const Headers& headers, std::string_view name);
/// Removes every header of that name.
void erase(Headers& headers, std::string_view name);
/// Replaces every header of that name by one.
void set(Headers& headers, std::string_view name, std::string_view value);
/// ASCII comparison without regard to case. Most that are not equal differ in length.
bool iequals_of_one_size(std::string_view a, std::string_view b);
inline bool iequals(std::string_view a, std::string_view b) {
  return a.size() == b.size() && iequals_of_one_size(a, b);
}

}  // namespace trireme::proxy::http

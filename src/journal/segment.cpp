#include "journal/segment.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "core/defaults.hpp"
#include "journal/crc32c.hpp"

namespace trireme {
namespace {

constexpr std::size_t max_run_id = 256;
constexpr std::size_t checksum_at = 16;  // in a record's header

template <typename T>
void append(std::string& out, T value) {
  std::array<char, sizeof value> bytes{};
  std::memcpy(bytes.data(), &value, sizeof value);
  out.append(bytes.data(), bytes.size());
}

template <typename T>
void put(std::string& out, std::size_t at, T value) {
  std::memcpy(out.data() + at, &value, sizeof value);
}

template <typename T>
T get(std::string_view bytes, std::size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::uint32_t record_checksum(std::string_view record) {
  return crc32c(record.substr(record_header_bytes), crc32c(record.substr(0, checksum_at)));
}

/// Whether a record could begin here, judged by its header alone.
bool is_plausible(std::string_view bytes, WallTime near) {
  constexpr std::uint16_t highest = 1023;              // kinds and versions that may come to be
  constexpr WallTime years = 946'080'000'000'000'000;  // 30 of them
  if (bytes.size() < record_header_bytes || near < 0) return false;
  const auto kind = get<std::uint16_t>(bytes, 4);
  const auto version = get<std::uint16_t>(bytes, 6);
  const auto time = get<WallTime>(bytes, 8);
  return get<std::uint32_t>(bytes, 0) <= bytes.size() - record_header_bytes && kind >= 1 && kind <= highest &&
         version >= 1 && version <= highest && time >= 0 && time > near - years && time - years < near;
}

}  // namespace

std::string encode_segment_header(const SegmentHeader& header) {
  std::string out(segment_magic);
  append(out, header.format);
  append(out, header.number);
  append(out, header.created);
  const std::string_view run_id = std::string_view(header.run_id).substr(0, max_run_id);
  append(out, static_cast<std::uint32_t>(run_id.size()));
  out += run_id;
  append(out, crc32c(out));
  return out;
}

std::optional<ParsedSegmentHeader> parse_segment_header(std::string_view bytes) {
  constexpr std::size_t fixed = 28;
  if (bytes.size() < fixed || !bytes.starts_with(segment_magic)) return std::nullopt;
  const std::size_t id_bytes = get<std::uint32_t>(bytes, 24);
  if (id_bytes > max_run_id || bytes.size() < fixed + id_bytes + 4) return std::nullopt;
  if (get<std::uint32_t>(bytes, fixed + id_bytes) != crc32c(bytes.substr(0, fixed + id_bytes))) {
    return std::nullopt;
  }
  return ParsedSegmentHeader{{get<std::uint32_t>(bytes, 8), get<std::uint32_t>(bytes, 12), get<WallTime>(bytes, 16),
                              std::string(bytes.substr(fixed, id_bytes))},
                             fixed + id_bytes + 4};
}

std::size_t begin_record(std::string& out) {
  const std::size_t begin = out.size();
  out.append(record_header_bytes, '\0');
  return begin;
}

void end_record(std::string& out, std::size_t begin, std::uint16_t kind, std::uint16_t version, WallTime time) {
  put(out, begin, static_cast<std::uint32_t>(out.size() - begin - record_header_bytes));
  put(out, begin + 4, kind);
  put(out, begin + 6, version);
  put(out, begin + 8, time);
  put(out, begin + checksum_at, record_checksum(std::string_view(out).substr(begin)));
}

std::optional<Record> parse_record(std::string_view bytes) {
  if (bytes.size() < record_header_bytes) return std::nullopt;
  const std::size_t length = get<std::uint32_t>(bytes, 0);
  if (length > defaults::record_bytes || length > bytes.size() - record_header_bytes) {
    return std::nullopt;
  }
  const std::string_view whole = bytes.substr(0, record_header_bytes + length);
  if (get<std::uint32_t>(whole, checksum_at) != record_checksum(whole)) return std::nullopt;
  return Record{get<std::uint16_t>(whole, 4), get<std::uint16_t>(whole, 6), get<WallTime>(whole, 8),
                whole.substr(record_header_bytes)};
}

std::optional<std::size_t> find_record(std::string_view bytes, WallTime near) {
  if (bytes.size() < record_header_bytes) return std::nullopt;
  const std::size_t claimed = record_header_bytes + get<std::uint32_t>(bytes, 0);
  if (claimed < bytes.size() && is_plausible(bytes.substr(claimed), near) && parse_record(bytes.substr(claimed))) {
    return claimed;
  }
  // A candidate costs its length. Damage that looks like many long records must not cost the square of the segment.
  std::size_t effort = 4 * bytes.size() + 4096;
  for (std::size_t at = 1; at + record_header_bytes <= bytes.size(); ++at) {
    const std::string_view rest = bytes.substr(at);
    if (!is_plausible(rest, near)) continue;
    if (parse_record(rest)) return at;
    const std::size_t cost = get<std::uint32_t>(rest, 0);
    if (cost > effort) return std::nullopt;
    effort -= cost;
  }
  return std::nullopt;
}

std::string segment_name(std::uint32_t number) {
  std::array<char, 24> out{};
  std::snprintf(out.data(), out.size(), "%08u.log", number);
  return out.data();
}

std::optional<std::uint32_t> segment_number(std::string_view name) {
  if (name.size() < 12 || !name.ends_with(".log")) return std::nullopt;
  name.remove_suffix(4);
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return number;
}

}  // namespace trireme

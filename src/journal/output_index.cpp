#include "journal/output_index.hpp"

#include <array>
#include <charconv>
#include <cstdio>

#include "journal/crc32c.hpp"

namespace trireme {
namespace {

constexpr std::size_t crc_digits = 8;

std::string hex_of(std::uint32_t value) {
  std::array<char, crc_digits + 1> out{};
  std::snprintf(out.data(), out.size(), "%08x", value);
  return out.data();
}

template <typename Number>
bool take_number(std::string_view& rest, Number& out, int base = 10) {
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), out, base);
  if (error != std::errc{} || end == rest.data() + rest.size() || *end != ' ') return false;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()) + 1);
  return true;
}

}  // namespace

std::string to_line(const OutputRecord& record) {
  const OutputSource& source = record.source;
  const std::string rest = std::to_string(record.offset) + ' ' + std::to_string(record.length) + ' ' +
                           hex_of(record.checksum) + (source.is_stderr ? " err " : " out ") +
                           std::to_string(source.rank) + ' ' + std::to_string(source.attempt) + ' ' + source.task;
  return hex_of(crc32c(rest)) + ' ' + rest + '\n';
}

std::optional<OutputRecord> parse_output_line(std::string_view line) {
  std::uint32_t checksum = 0;
  if (!take_number(line, checksum, 16) || crc32c(line) != checksum) return std::nullopt;
  OutputRecord record;
  if (!take_number(line, record.offset) || !take_number(line, record.length) ||
      !take_number(line, record.checksum, 16)) {
    return std::nullopt;
  }
  record.source.is_stderr = line.starts_with("err ");
  if (!record.source.is_stderr && !line.starts_with("out ")) return std::nullopt;
  line.remove_prefix(4);
  if (!take_number(line, record.source.rank) || !take_number(line, record.source.attempt)) return std::nullopt;
  record.source.task = line;
  return record;
}

}  // namespace trireme

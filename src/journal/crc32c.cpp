#include "journal/crc32c.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace trireme {
namespace {

constexpr std::uint32_t polynomial = 0x82F63B78;  // reflected
constexpr std::size_t slices = 8;
using Tables = std::array<std::array<std::uint32_t, 256>, slices>;

/// tables[k][b] is the checksum of byte b followed by k zero bytes, so that eight bytes are looked up at once.
constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
    tables[0][b] = crc;
  }
  for (std::size_t k = 1; k < slices; ++k) {
    for (std::size_t b = 0; b < 256; ++b) {
      const std::uint32_t shorter = tables[k - 1][b];
      tables[k][b] = (shorter >> 8) ^ tables[0][shorter & 0xFF];
    }
  }
  return tables;
}

constexpr Tables tables = make_tables();

std::uint64_t load_8(const char* p) {
  std::uint64_t word = 0;
  std::memcpy(&word, p, sizeof word);
  return word;
}

std::uint8_t byte_at(const char* p) {
  return static_cast<std::uint8_t>(*p);
}

}  // namespace

std::uint32_t crc32c_portable(std::string_view bytes, std::uint32_t before) {
  std::uint32_t crc = ~before;
  const char* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    const std::uint64_t word = load_8(p) ^ crc;
    crc = 0;
    for (std::size_t k = 0; k < slices; ++k) crc ^= tables[slices - 1 - k][(word >> (8 * k)) & 0xFF];
  }
  for (; left > 0; --left, ++p) crc = (crc >> 8) ^ tables[0][(crc ^ byte_at(p)) & 0xFF];
  return ~crc;
}

#if defined(__x86_64__)
namespace {

__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::string_view bytes, std::uint32_t before) {
  std::uint64_t crc = ~before;
  const char* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) crc = _mm_crc32_u64(crc, load_8(p));
  auto last = static_cast<std::uint32_t>(crc);
  for (; left > 0; --left, ++p) last = _mm_crc32_u8(last, byte_at(p));
  return ~last;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t before) {
  return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(bytes, before) : crc32c_portable(bytes, before);
}
#elif defined(__ARM_FEATURE_CRC32)
std::uint32_t crc32c(std::string_view bytes, std::uint32_t before) {
  std::uint32_t crc = ~before;
  const char* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) crc = __crc32cd(crc, load_8(p));
  for (; left > 0; --left, ++p) crc = __crc32cb(crc, byte_at(p));
  return ~crc;
}
#else
std::uint32_t crc32c(std::string_view bytes, std::uint32_t before) {
  return crc32c_portable(bytes, before);
}
#endif

}  // namespace trireme

// CRC-32C (Castagnoli), the checksum of the event log's records. With the CPU's instruction where it has one, else
// from tables.
#pragma once

#include <cstdint>
#include <string_view>

namespace trireme {

/// The checksum of `bytes`; give the checksum of what came before to go on with it.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t before = 0);

/// The same from tables alone: what machines without the instruction compute.
std::uint32_t crc32c_portable(std::string_view bytes, std::uint32_t before = 0);

}  // namespace trireme

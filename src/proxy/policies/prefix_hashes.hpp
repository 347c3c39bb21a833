// A prompt's beginnings as numbers: what two requests have in common is how many of these they share.
//
// Beginnings end at fixed places: every 64 bytes at first, then an eighth further each time, so that 64 numbers tell
// prompts apart up to a quarter of a megabyte, with a resolution that keeps to their length. Each number covers everything
// before it. The text is taken as it stands in the JSON body, so it need not be decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace trireme::proxy {

constexpr std::size_t prefix_step = 64;
constexpr std::size_t prefix_depth = 64;

/// Of the texts, one after the other. What is behind the last place that they reach does not count.
std::vector<std::uint64_t> prefix_hashes(std::span<const std::string_view> texts);

}  // namespace trireme::proxy

#include "services/mock/text.hpp"

#include <array>
#include <cmath>

namespace trireme::mock {
namespace {

constexpr std::array<std::string_view, 32> words{
    "the",  "oar",   "sea",    "wind",  "bank",  "ship", "rower", "mast",  "of",      "and", "bronze",
    "ram",  "calm",  "stroke", "under", "water", "to",   "keel",  "north", "harbour", "or",  "light",
    "long", "under", "sail",   "deck",  "a",     "tide", "swift", "hull",  "in",      "prow"};

/// Spreads a number's bits over all of them (splitmix64).
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

std::uint64_t hash(std::string_view text, std::uint64_t before) {
  for (const char c : text) before = (before ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return before;
}

std::size_t count_tokens(std::string_view prompt) {
  return (prompt.size() + token_bytes - 1) / token_bytes;
}

std::vector<std::uint64_t> prompt_blocks(std::string_view prompt, std::size_t block_tokens) {
  const std::size_t bytes = block_tokens * token_bytes;
  std::vector<std::uint64_t> blocks;
  std::uint64_t name = hash({});
  for (std::size_t at = 0; at + bytes <= prompt.size(); at += bytes) {
    name = hash(prompt.substr(at, bytes), name);
    blocks.push_back(name);
  }
  return blocks;
}

std::string token_text(std::uint64_t seed, std::size_t index) {
  const std::string_view word = words[mix(seed + index) % words.size()];
  return (index == 0 ? "" : " ") + std::string(word);
}

std::string answer_text(std::uint64_t seed, std::size_t tokens) {
  std::string text;
  for (std::size_t i = 0; i < tokens; ++i) text += token_text(seed, i);
  return text;
}

std::vector<double> embedding(std::string_view input, std::size_t dimensions) {
  std::vector<double> values(dimensions);
  const std::uint64_t seed = hash(input);
  double square = 0;
  for (std::size_t i = 0; i < dimensions; ++i) {
    values[i] = static_cast<double>(mix(seed + i) >> 11) * 0x1p-53 - 0.5;
    square += values[i] * values[i];
  }
  for (double& value : values) value /= std::sqrt(square);
  return values;
}

}  // namespace trireme::mock

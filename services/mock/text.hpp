// The made-up language of the mock model: prompts into tokens, tokens into words.
//
// Four bytes are a token. An answer's words follow from a seed alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::mock {

constexpr std::size_t token_bytes = 4;

std::uint64_t hash(std::string_view text, std::uint64_t before = 14695981039346656037u);
std::size_t count_tokens(std::string_view prompt);
/// The prompt's whole blocks of so many tokens, each named by a hash over all up to its end.
std::vector<std::uint64_t> prompt_blocks(std::string_view prompt, std::size_t block_tokens);
/// The answer's token of that number; all but the first begin with a space.
std::string token_text(std::uint64_t seed, std::size_t index);
std::string answer_text(std::uint64_t seed, std::size_t tokens);
/// A vector of length one.
std::vector<double> embedding(std::string_view input, std::size_t dimensions);

}  // namespace trireme::mock

#include "core/run_paths.hpp"

#include <array>
#include <cstdio>
#include <utility>

namespace trireme {
namespace {

// File names end at 255 bytes on all file systems that matter; some leave less (eCryptfs: 143).
constexpr std::size_t longest_name = 140;
constexpr std::size_t hash_digits = 16;

bool is_plain(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '=' || c == ',' || c == '-';
}

void append_escaped(std::string& out, char c) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += digits[byte >> 4];
  out += digits[byte & 15];
}

/// FNV-1a: it only has to tell ids of one run apart, and to be the same on every host.
std::string hash_text(std::string_view text) {
  std::uint64_t hash = 14695981039346656037u;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  std::array<char, hash_digits + 1> out{};
  std::snprintf(out.data(), out.size(), "%016llx", static_cast<unsigned long long>(hash));
  return out.data();
}

}  // namespace

std::string path_of_id(std::string_view id) {
  std::string out;
  for (char c : id) {
    if (is_plain(c) && !(out.empty() && (id == "." || id == ".."))) {
      out += c;
    } else {
      append_escaped(out, c);
    }
  }
  if (out.empty()) return "%";
  if (out.size() > longest_name) {
    out.resize(longest_name - hash_digits - 1);
    out += "~" + hash_text(id);
  }
  return out;
}

std::filesystem::path RunPaths::task(std::string_view id) const {
  return root_ / "tasks" / path_of_id(id);
}

std::filesystem::path RunPaths::attempt(std::string_view id, std::uint32_t attempt) const {
  return task(id) / std::to_string(attempt);
}

std::filesystem::path RunPaths::service(std::string_view name) const {
  return root_ / "services" / path_of_id(name);
}

std::filesystem::path RunPaths::replica(std::string_view name, std::uint32_t replica, std::uint32_t attempt) const {
  return service(name) / std::to_string(replica) / std::to_string(attempt);
}

std::filesystem::path RunPaths::node(Rank rank) const {
  return root_ / "nodes" / std::to_string(rank);
}

std::string numbered(std::string name, std::uint32_t rank) {
  return rank == 0 ? name : std::move(name) + "." + std::to_string(rank);
}

}  // namespace trireme

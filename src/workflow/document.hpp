// A YAML file as a small tree with exact positions: the one place that knows yaml-cpp.
//
// Reading never crashes and is bounded, whatever the file holds: depth, size and what aliases add are limited, recursive
// anchors and duplicate keys are errors. Aliases are copied, so the tree has no sharing; merge keys (`<<`) are resolved.
// What the keys mean is not known here.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "workflow/diagnostic.hpp"

namespace trireme::workflow {

struct Entry;

struct Node {
  enum class Kind : std::uint8_t { null, scalar, list, map };
  Kind kind = Kind::null;
  bool quoted = false;  ///< of a scalar: in quotes or a block, so never a number to YAML
  Position at;
  std::string text;            ///< of a scalar
  std::vector<Node> items;     ///< of a list
  std::vector<Entry> entries;  ///< of a map, in the order of the file

  bool is_map() const { return kind == Kind::map; }
  bool is_list() const { return kind == Kind::list; }
  bool is_scalar() const { return kind == Kind::scalar; }
};

struct Entry {
  std::string key;
  Position key_at;
  Node value;
  bool merged = false;  ///< came in through `<<`

  /// Where to point at: an empty value has no place of its own.
  Position at() const { return value.kind == Node::Kind::null ? key_at : value.at; }
};

/// The document in `text`, or nothing after an error that leaves none. Duplicate keys are reported and the first is kept.
std::optional<Node> read_document(std::string_view text, Diagnostics& diagnostics);

/// "a list", "a map", "nothing" or the text in quotes: what was found, for messages.
std::string describe(const Node& node);

}  // namespace trireme::workflow

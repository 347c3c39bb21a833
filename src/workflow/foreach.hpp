// `foreach`: one description, many instances.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "workflow/reader.hpp"
#include "workflow/scope.hpp"

namespace trireme::workflow {

/// The instances that a `foreach` asks for. A cross product is not written out: instances are made one at a time.
class Foreach {
 public:
  /// No foreach: one instance without variables.
  Foreach() = default;

  /// Reads a map of variables (their cross product, the last one turning fastest) or a list of maps (each an instance).
  static std::optional<Foreach> read(const Reader& reader, const Value& value);

  std::size_t size() const { return size_; }
  /// The variables of instance `i`, in the order of the file.
  Variables variables(std::size_t i) const;

 private:
  struct Variable {
    std::string name;
    std::vector<std::string> values;
  };
  std::vector<Variable> axes_;
  bool zipped_ = false;  ///< instance i takes value i of each variable
  std::size_t size_ = 1;
};

/// "[seed=1,method=lora]"; empty without variables.
std::string instance_suffix(const Variables& variables);

}  // namespace trireme::workflow

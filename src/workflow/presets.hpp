// Services that a word stands for: `preset: vllm`.
//
// A preset is a file services/presets/NAME.yaml with keys of a service, built into the program. What the user's map says goes
// before it: a key of the map takes the place of the preset's, `env` is merged by variable, `options` are appended to the
// command. In a preset {model} is the user's `model`, {gpus} and {cores} are those of a replica.
#pragma once

#include <span>
#include <string_view>

#include "workflow/reader.hpp"

namespace trireme::workflow {

struct Preset {
  std::string_view name;
  std::string_view text;
};
/// All there are, by name.
std::span<const Preset> presets();

/// The service's map with what its preset gives; nothing after a mistake, which is reported at `preset`. `variables` become what {model}, {gpus} and
/// {cores} stand for.
std::optional<Node> with_preset(const Reader& reader, const Value& service, Variables& variables);

}  // namespace trireme::workflow

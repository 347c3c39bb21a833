// Messages as bytes and back. cereal stays in serialize.cpp; serialize_inl.hpp does the same for
// messages defined elsewhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace trireme {

/// Instantiated for ToAgent, FromAgent, EndpointEpoch, RuntimeRequest, RuntimeAnswer and RuntimeDrop.
template <typename T>
std::string encode(const T& message);

/// Several make one message: they stand one after the other.
template <typename T>
void append(std::string& bytes, const T& message);

/// Fails, with the reason, unless `bytes` are exactly one T. Never throws.
template <typename T>
Result<T> decode(std::string_view bytes);

/// What append() put there; fails unless all of it can be read. For ToAgent and FromAgent.
template <typename T>
Result<std::vector<T>> decode_all(std::string_view bytes);

}  // namespace trireme

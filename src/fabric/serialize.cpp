#include "fabric/serialize.hpp"

#include "core/endpoint.hpp"
#include "core/messages.hpp"
#include "core/runtime_request.hpp"
#include "fabric/serialize_inl.hpp"

namespace trireme {

template std::string encode(const ToAgent&);
template std::string encode(const FromAgent&);
template std::string encode(const EndpointEpoch&);
template std::string encode(const RuntimeRequest&);
template std::string encode(const RuntimeAnswer&);
template std::string encode(const RuntimeDrop&);
template void append(std::string&, const ToAgent&);
template void append(std::string&, const FromAgent&);
template Result<std::vector<ToAgent>> decode_all(std::string_view);
template Result<std::vector<FromAgent>> decode_all(std::string_view);
template Result<ToAgent> decode(std::string_view);
template Result<FromAgent> decode(std::string_view);
template Result<EndpointEpoch> decode(std::string_view);
template Result<RuntimeRequest> decode(std::string_view);
template Result<RuntimeAnswer> decode(std::string_view);
template Result<RuntimeDrop> decode(std::string_view);

}  // namespace trireme

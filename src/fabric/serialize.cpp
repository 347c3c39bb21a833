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
template void append(std::string&, const FromAgent&);
template Status decode_each(std::string_view, const std::function<void(FromAgent)>&);
template Result<ToAgent> decode(std::string_view);
template Result<FromAgent> decode(std::string_view);
template Result<EndpointEpoch> decode(std::string_view);
template Result<RuntimeRequest> decode(std::string_view);
template Result<RuntimeAnswer> decode(std::string_view);
template Result<RuntimeDrop> decode(std::string_view);

}  // namespace trireme

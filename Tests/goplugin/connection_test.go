package goplugin

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

const basePlugin = "/hashicorp.nomad.plugins.base.proto.BasePlugin/"

var plugins = plugin.PluginSet{"base": &basePluginClient{}}

// A connection is the gRPC connection that go-plugin has made.
type connection struct{ grpc *grpc.ClientConn }

// basePluginClient exposes go-plugin's connection, so that calls can be made without generated code.
type basePluginClient struct{ plugin.NetRPCUnsupportedPlugin }

func (*basePluginClient) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return fmt.Errorf("this is the client's side")
}

func (*basePluginClient) GRPCClient(
	_ context.Context, _ *plugin.GRPCBroker, dialled *grpc.ClientConn,
) (interface{}, error) {
	return &connection{dialled}, nil
}

// call makes a unary call with an encoded message.
func (c *connection) call(method string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var reply []byte
	err := c.grpc.Invoke(ctx, method, request, &reply, grpc.ForceCodec(wireCodec{}))
	return reply, err
}

// wireCodec passes messages through unchanged.
type wireCodec struct{}

func (wireCodec) Name() string { return "proto" }

func (wireCodec) Marshal(message interface{}) ([]byte, error) { return message.([]byte), nil }

func (wireCodec) Unmarshal(data []byte, message interface{}) error {
	*message.(*[]byte) = append([]byte{}, data...)
	return nil
}

// A message is a decoded protobuf message without submessages: its fields of varints and of strings.
type message struct {
	numbers map[uint64]uint64
	strings map[uint64][]string
}

// decode reads protobuf's wire format, of which PluginInfoResponse needs two types.
func decode(data []byte) (message, error) {
	m := message{map[uint64]uint64{}, map[uint64][]string{}}
	next := func() (uint64, error) {
		value, size := binary.Uvarint(data)
		if size <= 0 {
			return 0, fmt.Errorf("the message ends within a number")
		}
		data = data[size:]
		return value, nil
	}
	for len(data) > 0 {
		key, err := next()
		if err != nil {
			return m, err
		}
		value, err := next()
		if err != nil {
			return m, err
		}
		switch field := key >> 3; key & 7 {
		case 0:
			m.numbers[field] = value
		case 2:
			if value > uint64(len(data)) {
				return m, fmt.Errorf("field %d has %d bytes but %d are left", field, value, len(data))
			}
			m.strings[field] = append(m.strings[field], string(data[:value]))
			data = data[value:]
		default:
			return m, fmt.Errorf("field %d has the unexpected wire type %d", field, key&7)
		}
	}
	return m, nil
}

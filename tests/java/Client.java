import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * What a user's own Java service does, with the settings Kafka ships and those given as -Dkafka.NAME=VALUE.
 * Standard output is one JSON object a line.
 */
public final class Client {
    private static final String USAGE =
        "create BROKERS TOPIC PARTITIONS | produce BROKERS TOPIC (stdin: KEY TAB VALUE) | consume BROKERS TOPIC COUNT";
    private static final String PREFIX = "kafka.";
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    public static void main(String[] args) throws Exception {
        String command = args.length == 0 ? "" : args[0];
        if (command.equals("create") && args.length == 4) {
            create(args[1], args[2], Integer.parseInt(args[3]));
        } else if (command.equals("produce") && args.length == 3) {
            produce(args[1], args[2]);
        } else if (command.equals("consume") && args.length == 4) {
            consume(args[1], args[2], Integer.parseInt(args[3]));
        } else {
            System.err.println(USAGE);
            System.exit(2);
        }
    }

    private static void create(String brokers, String topic, int partitions) throws Exception {
        try (Admin admin = Admin.create(settings(brokers))) {
            admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        }
    }

    /** A line without a tab is a value without a key. */
    private static void produce(String brokers, String topic) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        List<String> keys = new ArrayList<>();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = new KafkaProducer<>(settings(brokers), new StringSerializer(), new StringSerializer())) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                int tab = line.indexOf('\t');
                keys.add(tab < 0 ? null : line.substring(0, tab));
                sent.add(producer.send(new ProducerRecord<>(topic, keys.get(keys.size() - 1), line.substring(tab + 1))));
            }
        }
        for (int i = 0; i < sent.size(); i++) {
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("key", keys.get(i));
            line.put("partition", sent.get(i).get().partition());
            line.put("offset", sent.get(i).get().offset());
            OUT.println(JSON.writeValueAsString(line));
        }
    }

    /** From the beginning of every partition, without a group; fails when fewer than that many come. */
    private static void consume(String brokers, String topic, int count) throws Exception {
        try (var consumer = new KafkaConsumer<>(settings(brokers), new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(topic).forEach(p -> partitions.add(new TopicPartition(topic, p.partition())));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long deadline = System.nanoTime() + PATIENCE.toNanos();
            int read = 0;
            while (read < count) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("only " + read + " of " + count + " records came");
                }
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    OUT.println(JSON.writeValueAsString(shown(record)));
                    read++;
                }
            }
        }
    }

    private static Map<String, Object> shown(ConsumerRecord<String, String> record) {
        Map<String, Object> headers = new LinkedHashMap<>();
        for (Header header : record.headers()) {
            headers.put(header.key(), header.value() == null ? null : new String(header.value(), StandardCharsets.UTF_8));
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("key", record.key());
        line.put("partition", record.partition());
        line.put("offset", record.offset());
        line.put("headers", headers);
        line.put("value", record.value());
        return line;
    }

    private static Properties settings(String brokers) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", brokers);
        for (String name : System.getProperties().stringPropertyNames()) {
            if (name.startsWith(PREFIX)) {
                settings.put(name.substring(PREFIX.length()), System.getProperty(name));
            }
        }
        return settings;
    }
}

import io.anserini.analysis.DefaultEnglishAnalyzer;
import io.anserini.search.query.BagOfWordsQueryGenerator;
import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.StringReader;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.standard.StandardTokenizer;
import org.apache.lucene.analysis.tokenattributes.CharTermAttribute;
import org.apache.lucene.analysis.tokenattributes.OffsetAttribute;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.SortedDocValuesField;
import org.apache.lucene.document.StringField;
import org.apache.lucene.document.TextField;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.search.FieldDoc;
import org.apache.lucene.search.IndexSearcher;
import org.apache.lucene.search.ScoreDoc;
import org.apache.lucene.search.Sort;
import org.apache.lucene.search.SortField;
import org.apache.lucene.search.similarities.BM25Similarity;
import org.apache.lucene.store.ByteBuffersDirectory;
import org.apache.lucene.util.BytesRef;

/**
 * What Lucene answers, a line for a line. Texts are hexadecimal UTF-16, big endian.
 *
 * <pre>
 * classes          (no input) ranges of code points that Lucene cuts alike in every context: first last how
 * words            texts -> their words, by StandardTokenizer
 * terms            texts -> their terms, by Anserini's English analyzer
 * search K1 B K    passages "id text", an empty line, queries -> the best K as "id:bits of the score"
 * </pre>
 */
public class AskLucene {
  // Around the character asked about: what comes before and after it, context by context.
  static final String[] BEFORE = {"", "", "", "\ud83d\ude00", "", "a", "a", "1", "1", "\u30a2", "\u05d0",
      "\u05d0", "_", "\u4e2d", "\ud83d\ude00", "\u0e01", "", "\ud83d\ude00\u200d", "", "", "\ud83c\uddfa", ""};
  static final String[] AFTER = {":b", ",1", "\"\u05d0", "\ud83d\ude00", "", "", "b", "", "1", "", "",
      "\u05d0", "", "", "", "", "\ufe0f", "", "\ud83c\udffb", "\u20e3", "", "a"};
  static final BufferedReader IN = new BufferedReader(new InputStreamReader(System.in));
  static final PrintStream OUT = new PrintStream(new BufferedOutputStream(System.out, 1 << 20));

  public static void main(String[] arguments) throws IOException {
    switch (arguments[0]) {
      case "classes" -> classes();
      case "words" -> tokens(new Analyzer() {
        @Override protected TokenStreamComponents createComponents(String field) {
          return new TokenStreamComponents(new StandardTokenizer());
        }
      });
      case "terms" -> tokens(DefaultEnglishAnalyzer.newDefaultInstance());
      case "search" -> search(Float.parseFloat(arguments[1]), Float.parseFloat(arguments[2]),
          Integer.parseInt(arguments[3]));
      default -> throw new IllegalArgumentException(arguments[0]);
    }
    OUT.flush();
  }

  static void classes() throws IOException {
    String before = null;
    int first = 0;
    for (int code = 0; code <= Character.MAX_CODE_POINT + 1; code++) {
      String how = code > Character.MAX_CODE_POINT ? "end" : howItIsCut(code);
      if (!how.equals(before)) {
        if (before != null) {
          OUT.println(Integer.toHexString(first) + " " + Integer.toHexString(code - 1) + " " + before);
        }
        before = how;
        first = code;
      }
    }
  }

  /** Where words begin and end in every context, a character counted as one unit whatever its plane. */
  static String howItIsCut(int code) throws IOException {
    if (code >= Character.MIN_SURROGATE && code <= Character.MAX_SURROGATE) {
      return "surrogate";
    }
    String character = new String(Character.toChars(code));
    StringBuilder how = new StringBuilder();
    for (int context = 0; context < BEFORE.length; context++) {
      int past = BEFORE[context].length() + character.length();
      int surplus = character.length() - 1;
      try (StandardTokenizer tokenizer = new StandardTokenizer()) {
        tokenizer.setReader(new StringReader(BEFORE[context] + character + AFTER[context]));
        OffsetAttribute span = tokenizer.addAttribute(OffsetAttribute.class);
        tokenizer.reset();
        while (tokenizer.incrementToken()) {
          int start = span.startOffset();
          int end = span.endOffset();
          how.append(start >= past ? start - surplus : start).append('-');
          how.append(end >= past ? end - surplus : end).append(',');
        }
        how.append('|');
      }
    }
    return how.toString();
  }

  static void tokens(Analyzer analyzer) throws IOException {
    for (String line = IN.readLine(); line != null; line = IN.readLine()) {
      StringBuilder found = new StringBuilder();
      try (TokenStream stream = analyzer.tokenStream("text", text(line))) {
        CharTermAttribute term = stream.addAttribute(CharTermAttribute.class);
        stream.reset();
        while (stream.incrementToken()) {
          found.append(found.length() > 0 ? " " : "").append(hexadecimal(term.toString()));
        }
        stream.end();
      }
      OUT.println(found);
    }
  }

  static void search(float k1, float b, int k) throws IOException {
    Analyzer analyzer = DefaultEnglishAnalyzer.newDefaultInstance();
    ByteBuffersDirectory directory = new ByteBuffersDirectory();
    IndexWriterConfig config = new IndexWriterConfig(analyzer).setSimilarity(new BM25Similarity(k1, b));
    try (IndexWriter writer = new IndexWriter(directory, config)) {
      for (String line = IN.readLine(); !line.isEmpty(); line = IN.readLine()) {
        String[] parts = line.split(" ", -1);
        Document document = new Document();
        document.add(new StringField("id", text(parts[0]), Field.Store.YES));
        document.add(new SortedDocValuesField("id", new BytesRef(text(parts[0]))));
        document.add(new TextField("contents", text(parts[1]), Field.Store.NO));
        writer.addDocument(document);
      }
    }
    IndexSearcher searcher = new IndexSearcher(DirectoryReader.open(directory));
    searcher.setSimilarity(new BM25Similarity(k1, b));
    searcher.setQueryCache(null);
    Sort byScore = new Sort(SortField.FIELD_SCORE, new SortField("id", SortField.Type.STRING_VAL));
    BagOfWordsQueryGenerator generator = new BagOfWordsQueryGenerator();
    for (String line = IN.readLine(); line != null; line = IN.readLine()) {
      StringBuilder found = new StringBuilder();
      var query = generator.buildQuery("contents", analyzer, text(line));
      for (ScoreDoc hit : searcher.search(query, k, byScore, true).scoreDocs) {
        int bits = Float.floatToRawIntBits((Float) ((FieldDoc) hit).fields[0]);
        found.append(found.length() > 0 ? " " : "");
        found.append(hexadecimal(searcher.doc(hit.doc).get("id"))).append(':').append(Integer.toHexString(bits));
      }
      OUT.println(found);
    }
  }

  static String text(String hexadecimal) {
    StringBuilder text = new StringBuilder();
    for (int at = 0; at + 4 <= hexadecimal.length(); at += 4) {
      text.append((char) Integer.parseInt(hexadecimal.substring(at, at + 4), 16));
    }
    return text.toString();
  }

  static String hexadecimal(String text) {
    StringBuilder found = new StringBuilder();
    for (char unit : text.toCharArray()) {
      found.append(String.format("%04x", (int) unit));
    }
    return found.toString();
  }
}
